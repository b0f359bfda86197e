"""The insurers we are connected with: read from a data file, each with its connector, its bounds and its breaker."""

import os
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import yaml
from prometheus_client import Gauge

from insuretech.connectors.json_callback import JsonCallback
from insuretech.connectors.json_polling import JsonPolling
from insuretech.connectors.xml_sync import XmlSync
from insuretech.contracts.insurers import InsurerConnector, InsurerProfile
from insuretech.kit.breaker import Breaker, BreakerState
from insuretech.kit.failures import Unusable
from insuretech.kit.http import Outbound
from insuretech.kit.platform import Platform

DIALECTS: Mapping[str, Callable[..., InsurerConnector]] = {
    "json_polling": JsonPolling,
    "json_callback": JsonCallback,
    "xml_sync": XmlSync,
}

BREAKER_OPEN = Gauge("insuretech_insurer_breaker_open", "1 while an insurer is being left alone.", ["insurer"])

_ONE_CALL = 0.95
"""Share of the time limit that one call may take: a call that hangs must fail by itself, or no breaker ever opens."""


class DirectoryInvalid(Unusable):
    """The file of insurers cannot be used; the message is one sentence that says where and why."""


class Directory:
    """All insurers we are connected with."""

    def __init__(self, profiles: Mapping[str, InsurerProfile], connectors: Mapping[str, InsurerConnector]) -> None:
        self._profiles = profiles
        self._connectors = connectors

    def profile(self, code: str) -> InsurerProfile:
        return self._profiles[code]

    def connector(self, code: str) -> InsurerConnector:
        return self._connectors[code]

    def codes(self) -> tuple[str, ...]:
        return tuple(self._profiles)


def open_directory(platform: Platform, environ: Mapping[str, str] = os.environ) -> Directory:
    """Read the file and build a connector for each insurer; opens no connection. Raises ``DirectoryInvalid``."""
    settings = platform.settings
    given = settings.insurers_file
    try:
        text = given.read_text("utf-8") if given else _packaged().read_text("utf-8")
    except OSError as error:
        raise DirectoryInvalid(f"The file of insurers {given} cannot be read: {error.strerror}.") from error
    profiles = read_profiles(text, str(given or "insurers.yaml"), settings.insurer_time_limit)
    connectors = {code: _connector(profile, platform, environ) for code, profile in profiles.items()}
    return Directory(profiles, connectors)


def read_profiles(text: str, name: str, time_limit: float) -> dict[str, InsurerProfile]:
    """Profiles by code, in the order of the file; ``time_limit`` is for those that state none."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DirectoryInvalid(f"The file of insurers {name} is not YAML: {error}.") from error
    entries = document.get("insurers") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise DirectoryInvalid(f"The file of insurers {name} needs a list `insurers`.")
    profiles: dict[str, InsurerProfile] = {}
    for place, entry in enumerate(entries, start=1):
        profile = _profile(entry, f"{name}, insurer {place}", time_limit)
        if profile.code in profiles:
            raise DirectoryInvalid(f"{name}: the insurer {profile.code} is listed twice.")
        profiles[profile.code] = profile
    return profiles


def _profile(entry: Any, where: str, time_limit: float) -> InsurerProfile:
    if isinstance(entry, dict):
        unknown = set(entry) - set(InsurerProfile.__struct_fields__)
        if unknown:
            raise DirectoryInvalid(f"{where}: unknown field {min(unknown)}.")
        entry = {"time_limit": time_limit, **entry}
    try:
        profile = msgspec.convert(entry, InsurerProfile)
    except msgspec.ValidationError as error:
        raise DirectoryInvalid(f"{where}: {error}.") from error
    if profile.time_limit <= 0 or profile.concurrency < 1:
        raise DirectoryInvalid(f"{where}: time_limit and concurrency must be above zero.")
    return profile


def _connector(profile: InsurerProfile, platform: Platform, environ: Mapping[str, str]) -> InsurerConnector:
    breaker = Breaker()
    BREAKER_OPEN.labels(profile.code).set_function(lambda: float(breaker.state is BreakerState.OPEN))
    outbound = Outbound(
        platform.http,
        profile.url.replace("{sandbox}", platform.settings.sandbox_base),
        time_limit=profile.time_limit * _ONE_CALL,
        concurrency=profile.concurrency,
        breaker=breaker,
    )
    callback_url = f"{platform.settings.base_url}/api/v1/callbacks/insurers/{profile.code}"
    return DIALECTS[profile.dialect](
        profile=profile,
        outbound=outbound,
        secret=_secret(profile, platform, environ),
        callback_url=callback_url,
        clock=platform.clock,
    )


def _secret(profile: InsurerProfile, platform: Platform, environ: Mapping[str, str]) -> str:
    """The shared secret from the settings, or from the environment for insurers that the settings know nothing of."""
    if profile.secret == "SANDBOX_SECRET":  # noqa: S105 - a name, not a secret
        return platform.settings.sandbox_secret
    name = f"INSURETECH_{profile.secret}"
    if name in environ:
        return environ[name]
    if f"{name}_FILE" not in environ:
        raise DirectoryInvalid(f"The insurer {profile.code} needs the setting {name} or {name}_FILE.")
    path = Path(environ[f"{name}_FILE"])
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise DirectoryInvalid(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error


def _packaged() -> Path:
    return Path(str(files("insuretech.connectors") / "data" / "insurers.yaml"))
