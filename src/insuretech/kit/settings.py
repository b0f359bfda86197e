"""Settings, read once from the environment; a secret may come from a file named by ``X_FILE`` instead of ``X``."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from insuretech.kit.failures import Unusable


class SettingsInvalid(Unusable):
    """A setting cannot be used; the message says which and why."""


Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86400)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All a process needs to know of its surroundings.

    Time limits and intervals are seconds. ``database_url`` empty means the embedded PostgreSQL under ``home``.

    ``database_urls``: a folder that holds each service's own address, in a file named as it; before ``database_url``.
    ``database_secret``: what the passwords of the services' database roles are made from (``kit.roles``).

    Only where services run apart: ``kafka`` (bootstrap servers) and ``redis`` (nodes of the cluster), ``host:port,…``;
    ``services_url``: where the other services are reached, with ``internal_secret`` (at least 16 characters; during a
    change ``new,old``); ``instance``: a name of this process among its replicas that stays over restarts; ``zone``: the
    site it runs in; ``drain``: how long requests are still taken after the wish to stop, so that the load balancer has
    noticed before it ends; ``pool_size``: connections a process keeps to the database.

    Only for ``insuretech cdn-purge``: ``cdn_points`` (``https://host,…``) and the ``cdn_purge_token`` they know.
    """

    home: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    database_url: str = ""
    database_urls: Path | None = None
    database_secret: str = ""
    pool_size: Annotated[int, msgspec.Meta(ge=2, le=100)] = 8
    insurers_file: Path | None = None
    agreements_file: Path | None = None
    sandbox_enabled: bool = True
    sandbox_secret: str = "sandbox-only-not-a-secret"  # noqa: S105 - guards nothing but invented insurers
    sandbox_url: str = ""
    yookassa_url: str = ""
    yookassa_shop_id: str = "sandbox"
    yookassa_secret_key: str = "sandbox-only-not-a-secret"  # noqa: S105 - accepted by the sandbox alone
    keyring_file: Path | None = None
    quote_ttl: Seconds = 24 * 3600.0
    outbox_kept: Seconds = 7 * 86400.0
    partition_period: Seconds = 86400.0
    quotes_kept: Seconds = 91 * 86400.0
    quotes_period: Seconds = 7 * 86400.0
    insurer_time_limit: Seconds = 60.0
    payment_deadline: Seconds = 30 * 60.0
    issue_recheck: Seconds = 5.0
    body_limit: Annotated[int, msgspec.Meta(gt=0)] = 1024 * 1024
    body_time_limit: Seconds = 10.0
    kafka: str = ""
    redis: str = ""
    s3_url: str = ""
    s3_bucket: str = "insuretech"
    s3_region: str = "garage"
    s3_access_key: str = ""
    s3_secret_key: str = ""
    smtp_url: str = ""
    services_url: str = ""
    internal_secret: str = ""
    instance: str = ""
    zone: str = ""
    cdn_points: str = ""
    cdn_purge_token: str = ""
    drain: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 5.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    @property
    def base_url(self) -> str:
        """Address under which people and callbacks reach us, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def sandbox_base(self) -> str:
        return (self.sandbox_url or self.base_url).rstrip("/")

    @property
    def payment_url(self) -> str:
        """Base of the payment provider's API up to and including ``/v3``."""
        return (self.yookassa_url or f"{self.sandbox_base}/sandbox/yookassa/v3").rstrip("/")

    @property
    def keyring_path(self) -> Path:
        """Where the keys for personal data are."""
        return self.keyring_file or self.home / "keyring.json"


_NAMES = {"home": "INSURETECH_HOME", "port": "PORT", "host": "HOST", "database_url": "DATABASE_URL"}
_SECRETS = {
    "sandbox_secret",
    "yookassa_secret_key",
    "database_url",
    "database_secret",
    "s3_access_key",
    "s3_secret_key",
    "smtp_url",
    "internal_secret",
    "cdn_purge_token",
}


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from ``INSURETECH_<NAME>`` (``PORT``, ``HOST``, ``DATABASE_URL`` stand alone); fail loudly."""
    found: dict[str, str] = {}
    names = {field: _NAMES.get(field, f"INSURETECH_{field.upper()}") for field in Settings.__struct_fields__}
    _refuse_unknown(environ, {*names.values(), *(f"{names[secret]}_FILE" for secret in _SECRETS)})
    for field, name in names.items():
        if name in environ:
            found[field] = environ[name]
        elif field in _SECRETS and f"{name}_FILE" in environ:
            found[field] = read_secret(f"{name}_FILE", Path(environ[f"{name}_FILE"]))
    try:
        return msgspec.convert(found, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        raise SettingsInvalid(f"The setting {names[place.rstrip('`')]} is wrong: {reason}.") from error


def _refuse_unknown(environ: Mapping[str, str], known: set[str]) -> None:
    """A misspelt setting would otherwise be a default that nobody asked for."""
    for name in sorted(name for name in environ if name.startswith("INSURETECH_") and name not in known):
        near = get_close_matches(name, known, 1, cutoff=0.85)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise SettingsInvalid(f"There is no setting {name}{hint}")


def read_secret(name: str, path: Path) -> str:
    """What a file holds that the setting ``name`` leads to; raises ``SettingsInvalid``."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsInvalid(f"{name} names {path}, which cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"{name} names {path}, which is not a text file.") from error
    if not secret:
        raise SettingsInvalid(f"{name} names {path}, which is empty.")
    return secret


def _decode(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value)).expanduser()
    raise NotImplementedError(kind)
