"""``python -m deploy.routes``: which address leads to which service, written for the chart.

There is one source, ``insuretech.compose.addresses``; a test holds the written file to it.
"""

from pathlib import Path

import yaml

from insuretech.compose.addresses import ADDRESSES, INSIDE, OF_EACH_PROCESS, Address

FILE = Path(__file__).with_name("chart") / "insuretech" / "files" / "addresses.yaml"
_HEAD = """\
# Made from src/insuretech/compose/addresses.py by `python -m deploy.routes`. The first that fits counts.
"""


def document() -> str:
    """The file: rules in Traefik's words."""
    routes = [{"service": one.service, "rule": rule(one), "inside": one.begins.startswith(INSIDE)} for one in ADDRESSES]
    refused = " || ".join(_begins(begin) for begin in (INSIDE, *OF_EACH_PROCESS))
    return _HEAD + yaml.safe_dump({"refused": refused, "routes": routes}, sort_keys=False, width=120)


def rule(address: Address) -> str:
    """Traefik's rule for what ``Address.leads`` says."""
    if address.pattern:
        return f"PathRegexp(`^{address.pattern}`)"
    return _begins(address.begins)


def _begins(begin: str) -> str:
    bare = begin.rstrip("/")
    return f"PathPrefix(`{begin}`)" if bare in {begin, ""} else f"PathPrefix(`{begin}`) || Path(`{bare}`)"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
