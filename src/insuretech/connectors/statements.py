"""Fetches the other side's own registers over HTTP: an insurer's by its key, YooKassa's by the shop's login.

YooKassa sends its registers by mail and to an SFTP server; the sandbox gives the same files over HTTP, and whatever
takes them from such a server would look the same to us.
"""

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from insuretech.contracts.insurers import InsurerDirectory, InsurerProfile
from insuretech.contracts.statements import FetchedFile, SourceUnavailable
from insuretech.kit.breaker import Breaker
from insuretech.kit.http import NoAnswer, NotSent, Outbound
from insuretech.kit.platform import Platform

PROVIDER = {"yookassa.payments": "payments", "yookassa.refunds": "refunds"}
"""The provider's registers by the names we give them, with what its address calls them."""

LARGEST = 128 * 1024 * 1024  # bytes
TIME_LIMIT = 120.0  # seconds
_NAME = re.compile(r'filename="([^"]{1,200})"')


class HttpStatements:
    """Every party whose register can be had by a request."""

    def __init__(self, platform: Platform, insurers: InsurerDirectory, environ: Mapping[str, str] = os.environ) -> None:
        self._platform = platform
        self._insurers = insurers
        self._environ = environ
        self._outbound: dict[str, Outbound] = {}

    def fetches(self, party: str) -> bool:
        return party in PROVIDER or party in self._insurers.codes()

    async def fetch(self, party: str, month: date) -> FetchedFile:
        path, headers = self._request(party, month)
        try:
            answer = await self._line(party).call("GET", path, headers=headers)
        except (NotSent, NoAnswer) as error:
            raise SourceUnavailable(f"It does not answer ({error}).") from error
        if answer.status_code == 404:
            raise SourceUnavailable("It has no register for this month.")
        if answer.status_code != 200:
            raise SourceUnavailable(f"It answers with the status {answer.status_code}.")
        named = _NAME.search(answer.headers.get("content-disposition", ""))
        return FetchedFile(named[1] if named else f"{party}-{month:%Y-%m}.csv", answer.content)

    def _request(self, party: str, month: date) -> tuple[str, dict[str, str]]:
        settings = self._platform.settings
        if party in PROVIDER:
            login = f"{settings.yookassa_shop_id}:{settings.yookassa_secret_key}".encode()
            authorization = {"Authorization": "Basic " + b64encode(login).decode()}
            return f"/registers/{PROVIDER[party]}/{month:%Y-%m}", authorization
        return f"/statements/{month:%Y-%m}", {"X-Api-Key": self._secret(self._insurers.profile(party))}

    def _line(self, party: str) -> Outbound:
        if party not in self._outbound:
            settings = self._platform.settings
            base = settings.payment_url if party in PROVIDER else self._insurers.profile(party).url
            self._outbound[party] = Outbound(
                self._platform.http,
                base.replace("{sandbox}", settings.sandbox_base),
                time_limit=TIME_LIMIT,
                concurrency=2,
                breaker=Breaker(),
                largest=LARGEST,
            )
        return self._outbound[party]

    def _secret(self, profile: InsurerProfile) -> str:
        """As the directory has it; that has been checked when the program started."""
        if profile.secret == "SANDBOX_SECRET":  # noqa: S105 - a name, not a secret
            return self._platform.settings.sandbox_secret
        name = f"INSURETECH_{profile.secret}"
        if name in self._environ:
            return self._environ[name]
        return Path(self._environ[f"{name}_FILE"]).read_text("utf-8").strip()
