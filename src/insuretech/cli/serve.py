"""What serves until it is told to stop; nothing here loads the libraries of the command line (``cli/main.py``)."""

from collections.abc import Sequence

from rich.console import Console

from insuretech.kit.failures import Unusable
from insuretech.kit.logging import configure_logging
from insuretech.kit.settings import Settings, load_settings


class ServicesUnknown(Unusable):
    """Something else than services was named; the message is one sentence for a person."""


def serve() -> None:
    """Run the whole marketplace in this process until Ctrl-C.

    PORT, HOST and INSURETECH_HOME say where; DATABASE_URL names a PostgreSQL to use in place of the embedded one.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    from insuretech.compose.serve import serve as serve_marketplace

    serve_marketplace(settings, _announce)


def serve_some(names: Sequence[str]) -> None:
    """Run one service, or some together, in this process until Ctrl-C; raises ``ServicesUnknown``."""
    settings = load_settings()
    configure_logging(settings.log_level)
    from insuretech.compose.apart import serve_services
    from insuretech.compose.services import BUILDERS

    if unknown := [name for name in names if name not in BUILDERS]:
        raise ServicesUnknown(f"There is no service {unknown[0]}; there are {', '.join(BUILDERS)}.")
    if len(set(names)) < len(names):
        raise ServicesUnknown("A service runs once in a process; name each once.")
    serve_services(names, settings, lambda known: _announce_some(", ".join(names), known))


def _announce(settings: Settings) -> None:
    here = f"http://{settings.host}:{settings.port}"
    places = [("Site", here), ("API documentation", f"{here}/docs")]
    if settings.sandbox_enabled:
        places.append(("Sandbox controls", f"{here}/sandbox"))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Ready: {here}", style="bold")
    for name, address in places:
        console.print(f"  {name:<18} {address}")
    console.print(f"Ctrl-C stops it; the data stay in {settings.home}.")


def _announce_some(names: str, settings: Settings) -> None:
    Console(highlight=False, soft_wrap=True).print(f"Listening: {names} at http://{settings.host}:{settings.port}")
