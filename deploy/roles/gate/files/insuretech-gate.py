#!/usr/bin/python3
"""Lets what decides who leads start on this machine once it is known that the other site has not gone on without it.

A site that took the quorum along when its power went has it again when it comes back: it would elect a primary of its
own beside the one that leads elsewhere by then. So each start asks etcd in the other sites whether one of them was made
to lead (`promote.yaml`), and waits for as long as that is so, or for as long as nobody answers. The file `alone` ends
the waiting: for whoever knows that no other site lives.
"""

import base64
import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path

SETTINGS = Path("/etc/insuretech/gate.json")
LIMIT, PAUSE = 2.0, 2.0


def promoted(address: str, key: str, context: ssl.SSLContext) -> str | None:
    """Which site was made to lead, as etcd there says; empty when none was, None when it says nothing."""
    question = {"key": base64.b64encode(key.encode()).decode(), "serializable": True}
    request = urllib.request.Request(f"{address}/v3/kv/range", data=json.dumps(question).encode())  # noqa: S310 - https
    try:
        with urllib.request.urlopen(request, context=context, timeout=LIMIT) as answer:  # noqa: S310 - https
            found = json.load(answer).get("kvs", [])
    except (OSError, ValueError):
        return None
    return base64.b64decode(found[0]["value"]).decode() if found else ""


def hindrance(site: str, said: list[str | None]) -> str:
    """Why this site must not begin by what etcd of the others says; empty when it may."""
    heard = [one for one in said if one is not None]
    elsewhere = next((one for one in heard if one not in {"", site}), "")
    if elsewhere:
        return f"{elsewhere} leads without us; promote.yaml takes us back"
    return "" if heard else "no other site answers"


def main() -> None:
    """Return when this machine may begin."""
    told = json.loads(SETTINGS.read_text(encoding="utf-8"))
    context = ssl.create_default_context(cafile=f"{told['tls']}/ca.crt")
    context.load_cert_chain(f"{told['tls']}/host.crt", f"{told['tls']}/host.key")
    before = ""
    while not Path(told["alone"]).exists():
        now = hindrance(told["site"], [promoted(address, told["key"], context) for address in told["ask"]])
        if not now:
            return
        if now != before:
            sys.stdout.write(f"Waiting: {now}.\n")
            sys.stdout.flush()
        before = now
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
