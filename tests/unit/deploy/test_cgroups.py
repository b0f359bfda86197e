"""Control groups in both forms that kernels have: a machine's limit must be set where the kernel looks for it."""

from pathlib import Path

from deploy.twin.cgroups import Group, hierarchies


def old(root: Path) -> Path:
    """A kernel with v1 beside v2."""
    for name in ("memory", "freezer", "unified"):
        (root / name).mkdir()
    return root


def test_with_v1_there_is_a_group_in_every_hierarchy(tmp_path: Path) -> None:
    """Otherwise a machine escapes its memory limit."""
    group = Group("tw", "spb-db-1", old(tmp_path))
    group.make(640)
    assert all(folder.is_dir() for folder in group.folders)
    assert (tmp_path / "memory/tw/spb-db-1/memory.limit_in_bytes").read_text() == str(640 * 1024 * 1024)


def test_with_v2_there_is_one(tmp_path: Path) -> None:
    """Otherwise newer hosts cannot run the twin."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    assert hierarchies(tmp_path) == (tmp_path,)
    group = Group("tw", "spb-db-1", tmp_path)
    group.make(640)
    assert (tmp_path / "tw/spb-db-1/memory.max").read_text() == str(640 * 1024 * 1024)


def test_a_machine_gets_its_part_of_the_processor_in_either_form(tmp_path: Path) -> None:
    """Otherwise what must answer at once waits for what has time, and databases change their primary for nothing."""
    for form, file, said in (("old", "cpu.shares", "16384"), ("new", "cpu.weight", "1600")):
        root = tmp_path / form
        own = root / ("cpu" if form == "old" else "") / "tw" / "spb-db-1"
        own.mkdir(parents=True)
        (own / file).write_text("0")
        if form == "new":
            (root / "cgroup.controllers").write_text("cpu memory")
        else:
            (root / "memory").mkdir()
        Group("tw", "spb-db-1", root).make(640, 16384)
        assert (own / file).read_text() == said


def test_processes_of_groups_inside_belong_to_the_machine(tmp_path: Path) -> None:
    """Otherwise cutting the power misses some of them."""
    group = Group("tw", "spb-db-1", old(tmp_path))
    group.make(640)
    inner = tmp_path / "memory/tw/spb-db-1/system.slice"
    inner.mkdir()
    (inner / "cgroup.procs").write_text("17\n18\n")
    assert group.processes() == {17, 18}


def test_what_a_dead_machine_left_is_taken_away(tmp_path: Path) -> None:
    """Otherwise a machine boots ever slower, and the host is not left as it was."""
    group = Group("tw", "spb-db-1", old(tmp_path))
    for folder in group.folders:
        (folder / "kubepods" / "pod1").mkdir(parents=True)
    group.remove()
    assert not any(folder.exists() for folder in group.folders)
    assert not (tmp_path / "memory" / "tw").exists()
