"""Getting parts: nothing unknown is used, and a person sees how long it takes."""

import threading
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cluster import parts
from cluster.fetching import PartFailed, Reporter, follow, remaining


@pytest.fixture
def reporter() -> Reporter:
    """Tells into a text."""
    return Reporter(Console(file=StringIO(), width=200))


def said(reporter: Reporter) -> str:
    """What it told."""
    file = reporter.console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', (17, 0)),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0", (7, 0)),
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17", (2, 6)),
        ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)", (1, 95)),
        ("command not found", (0, 0)),
    ],
)
def test_programs_tell_their_version(text: str, version: tuple[int, int]) -> None:
    """An old server would refuse our settings with a message nobody understands."""
    assert parts.version_in(text) == version


def test_missing_parts_are_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test would fail somewhere inside with "no such file"."""
    monkeypatch.setenv("CLUSTER_CACHE", str(tmp_path))
    with pytest.raises(parts.PartMissing, match=r"Kafka 4\.3\.1, Garage 2\.5\.0.*make cluster-parts"):
        parts.find()


def test_every_jar_has_a_known_checksum() -> None:
    """A jar without one could be anything."""
    known = parts.checksums()

    assert f"kafka-server-{parts.KAFKA}.jar" in known
    assert all(len(digest) == 64 for digest in known.values())


@pytest.mark.parametrize("change", ["altered", "added", "removed"])
def test_a_jar_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Whoever can write into the cache would run their code as ours."""
    folder = tmp_path / "libs"
    folder.mkdir()
    (folder / "a.jar").write_bytes(b"a")
    known = {"a.jar": parts.sha256(folder / "a.jar")}
    monkeypatch.setattr(parts, "checksums", lambda: known)
    parts._check_kafka(folder)
    if change == "altered":
        (folder / "a.jar").write_bytes(b"b")
    elif change == "added":
        (folder / "b.jar").write_bytes(b"b")
    else:
        (folder / "a.jar").unlink()

    with pytest.raises(PartFailed, match="not what it should be"):
        parts._check_kafka(folder)


def test_two_do_not_build_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reporter: Reporter) -> None:
    """They would write over each other, and both be broken."""
    monkeypatch.setenv("CLUSTER_CACHE", str(tmp_path))
    order: list[str] = []

    def second() -> None:
        with parts.alone(reporter):
            order.append("second")

    with parts.alone(reporter):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.3)
        order.append("first")
    other.join(10)

    assert order == ["first", "second"]
    assert "Waiting for another one" in said(reporter)


@pytest.mark.parametrize(
    ("done", "total", "passed", "words"),
    [
        (0, 100, 10.0, ""),
        (50, 100, 60.0, "about 1 min 0 s left"),
        (90, 100, 90.0, "about 10 s left"),
        (100, 100, 90.0, "nearly done"),
        (5, None, 9.0, ""),
    ],
)
def test_remaining_time_is_told_in_words(done: int, total: int | None, passed: float, words: str) -> None:
    """Twenty minutes without a sign look like a hang."""
    assert remaining(done, total, passed) == words


def test_a_command_is_followed_line_by_line(tmp_path: Path, reporter: Reporter) -> None:
    """Progress that jumps from nothing to all is none."""
    steps: list[int] = []
    with reporter.step("Building", 3):
        look = parts.counting(r"^Compiling ", partial(steps.append, 1))
        follow(("printf", "Compiling a\nnoise\nCompiling b\n"), tmp_path / "log", {}, look)

    assert len(steps) == 2
    assert (tmp_path / "log").read_text() == "Compiling a\nnoise\nCompiling b\n"
    assert "Building: 0 s" in said(reporter)


def test_a_failed_command_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Otherwise the reason is in a file somewhere."""
    with pytest.raises(PartFailed, match=r"failed with code 3(.|\n)*no space left"):
        follow(("sh", "-c", "echo no space left; exit 3"), tmp_path / "log", {})
