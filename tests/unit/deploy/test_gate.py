"""The gate of layout 3+2: a site that returns must not elect a primary beside the one that a person made lead."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "deploy" / "roles" / "gate" / "files" / "insuretech-gate.py"


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    """The program as machines have it."""
    spec = importlib.util.spec_from_file_location("gate", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize(
    ("said", "may"),
    [
        ([""], True),
        (["", None], True),
        (["spb"], True),  # it is this site that was made to lead
        (["msk"], False),
        (["", "msk"], False),  # one of them has not heard of it yet
        ([None], False),
        ([], False),
    ],
)
def test_a_site_begins_only_when_no_other_leads_without_it(gate: ModuleType, said: list[str | None], may: bool) -> None:
    """Beginning in the wrong case makes two primaries; waiting in the wrong one keeps people out."""
    assert (gate.hindrance("spb", said) == "") is may
