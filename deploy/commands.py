"""Other programs, run to their end; one that fails becomes a sentence."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from insuretech.kit.failures import Unusable

_TAIL = 2000  # characters of what a failed program said
LIMIT = 60.0  # seconds; what takes longer is followed with its log


class TwinFailed(Unusable):
    """The twin cannot be made, or is not there; the message is one sentence for a person."""


def run(
    *command: str | Path,
    limit: float = LIMIT,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program; raises ``TwinFailed`` with what it said when it takes too long or, with ``check``, fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise TwinFailed(f"{_short(words)} took longer than {limit:.0f} s.") from None
    except FileNotFoundError:
        raise TwinFailed(f"The program {words[0]} is not on this machine.") from None
    if check and done.returncode:
        said = [text.strip()[-_TAIL:] for text in (done.stdout, done.stderr) if text.strip()]
        raise TwinFailed(f"{_short(words)} failed: " + ("\n".join(said) or f"code {done.returncode}"))
    return done


def _short(words: Sequence[str]) -> str:
    text = " ".join(words)
    return text if len(text) <= 120 else f"{text[:117]}…"
