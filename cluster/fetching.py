"""Long commands, followed: their output goes to a log, a person sees how far they are and how long it still takes."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from insuretech.kit.failures import Unusable

_LINE_EVERY = 20.0  # seconds between lines where there is no terminal
_TAIL = 12  # lines of a failed command that are shown


class PartFailed(Unusable):
    """A part could not be fetched or built, or is not what it should be."""


class Reporter:
    """Shows steps: a moving bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """One step; what it gives is called once for each of ``total`` pieces done."""
        began = monotonic()
        with (self._bar if self.console.is_terminal else self._lines)(what, total) as advance:
            yield advance
        self.console.print(f"{what}: {_duration(monotonic() - began)}", highlight=False)

    @contextmanager
    def _bar(self, what: str, total: int | None) -> Iterator[Callable[[], None]]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        began, done = monotonic(), 0
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(what, total=total, left="")

            def advance() -> None:
                nonlocal done
                done += 1
                progress.update(task, advance=1, left=remaining(done, total, monotonic() - began))

            yield advance

    @contextmanager
    def _lines(self, what: str, total: int | None) -> Iterator[Callable[[], None]]:
        began, done, over = monotonic(), 0, threading.Event()
        self.console.print(f"{what} …", highlight=False)

        def advance() -> None:
            nonlocal done
            done += 1

        def tell() -> None:
            while not over.wait(_LINE_EVERY):
                passed = monotonic() - began
                far = f"{done} of {total}, {remaining(done, total, passed)}" if total and 0 < done <= total else "…"
                self.console.print(f"{what}: {_duration(passed)}, {far}", highlight=False)

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield advance
        finally:
            over.set()
            teller.join()


def remaining(done: int, total: int | None, passed: float) -> str:
    """In words how long it still takes, when every piece takes as long as those so far; ``passed`` in seconds."""
    if not total or done < 1:
        return ""
    if done >= total:
        return "nearly done"
    return f"about {_duration(passed * (total - done) / done)} left"


def follow(
    command: tuple[str, ...],
    log: Path,
    environment: Mapping[str, str],
    look: Callable[[str], None] = lambda _: None,
    folder: Path | None = None,
) -> None:
    """Run to the end, appending all output to the log and showing each line to ``look``; raises ``PartFailed``.

    An interruption ends the command with all it started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    last: deque[str] = deque(maxlen=_TAIL)
    with (
        log.open("a", encoding="utf-8") as kept,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=folder,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            for line in process.stdout:
                kept.write(line)
                last.append(line.rstrip())
                look(line)
            code = process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if code:
        said = "\n".join(last)
        raise PartFailed(f"{' '.join(command[:3])} … failed with code {code}; all it said is in {log}:\n{said}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds / 60:.0f} min"
