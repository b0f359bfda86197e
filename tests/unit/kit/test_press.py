"""The press: a process that is there when something is to be printed, and not for longer."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import typst

import insuretech
from insuretech.kit.press import NotPrinted, Press, Sheet


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    """One line that says what it was given."""
    template = tmp_path / "line.typ"
    template.write_text('#sys.inputs.at("word")')
    return Sheet(template=template, inputs={"word": "hello"}, standards=("a-2a",), timestamp=1_700_000_000)


def pid_of(press: Press) -> int:
    """The process of a press that has printed."""
    assert press._child is not None
    return press._child.process.pid


def is_gone(pid: int) -> bool:
    """Whether nothing is left of a process, not even how it ended."""
    return not Path(f"/proc/{pid}").exists()


async def until(done: Callable[[], bool]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(60):
        while not done():  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.01)


async def test_the_same_sheet_gives_the_same_bytes(sheet: Sheet) -> None:
    """Otherwise a repeated event would keep a second copy."""
    press = Press()
    first = await press.print(sheet)

    assert first.startswith(b"%PDF")
    assert await press.print(sheet) == first
    assert await Press().print(sheet) == first


async def test_it_prints_where_packages_are_found_by_their_path_alone(sheet: Sheet, tmp_path: Path) -> None:
    """In a container's image there is no environment, only a folder with the packages: no policy had a paper there."""
    places = {str(Path(str(module.__file__)).parents[1]) for module in (insuretech, msgspec, typst)}
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from insuretech.kit.press import Press, Sheet\n"
        "sheet = Sheet(template=Path(sys.argv[1]), inputs={'word': 'hello'}, standards=('a-2a',), timestamp=0)\n"
        "sys.stdout.buffer.write(asyncio.run(Press().print(sheet)))\n"
    )
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"

    done = await asyncio.create_subprocess_exec(
        str(python), str(program), str(sheet.template), stdout=-1, env={"PYTHONPATH": ":".join(places)}
    )

    printed, _ = await done.communicate()
    assert printed.startswith(b"%PDF")


async def test_sheets_asked_for_together_all_come(sheet: Sheet) -> None:
    """Otherwise one buyer gets another's policy."""
    press = Press()
    alone = {word: await Press().print(about(sheet, word)) for word in ("a", "b")}

    printed = await asyncio.gather(*(press.print(about(sheet, word)) for word in "abab"))

    assert printed == [alone["a"], alone["b"], alone["a"], alone["b"]]


def about(sheet: Sheet, word: str) -> Sheet:
    """The same sheet about another word."""
    return Sheet(template=sheet.template, inputs={"word": word}, standards=sheet.standards, timestamp=sheet.timestamp)


async def test_what_cannot_be_printed_says_why_and_stops_nothing(sheet: Sheet) -> None:
    """Otherwise one broken template would end the printing of all others."""
    press = Press()
    broken = Sheet(template=sheet.template, inputs={}, standards=(), timestamp=1_700_000_000)

    with pytest.raises(NotPrinted, match="word"):
        await press.print(broken)
    assert await press.print(sheet)


async def test_an_idle_press_ends(sheet: Sheet) -> None:
    """Otherwise every process that once printed keeps a hundred megabytes for it."""
    press = Press(idle=0.1)
    await press.print(sheet)
    pid = pid_of(press)

    await until(lambda: is_gone(pid))
    assert await press.print(sheet)
    assert pid_of(press) != pid


async def test_a_press_that_dies_is_replaced(sheet: Sheet) -> None:
    """Otherwise a lack of memory would end printing for good."""
    press = Press()
    await press.print(sheet)
    pid = pid_of(press)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: press._child is not None and press._child.process.poll() is not None)

    assert await press.print(sheet)
    assert is_gone(pid)


async def test_a_press_that_hangs_is_given_up(sheet: Sheet) -> None:
    """Otherwise everything behind it waits for ever."""
    press = Press()
    await press.print(sheet)
    pid = pid_of(press)
    os.kill(pid, signal.SIGSTOP)
    press._limit = 0.2

    with pytest.raises(NotPrinted, match="TimeoutError"):
        await press.print(sheet)
    assert is_gone(pid)


async def test_nothing_outlives_a_press(sheet: Sheet) -> None:
    """Otherwise a stop leaves processes behind."""
    press = Press()
    await press.print(sheet)
    pid = pid_of(press)
    assert press._timer is not None
    press._timer.cancel()

    del press
    gc.collect()

    await until(lambda: is_gone(pid))
