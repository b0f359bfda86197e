"""The tables are read strictly: a slip of whoever adds an edition stops the start, not a purchase."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from shutil import copytree

import pytest

from insuretech.catalogue.osago.files import TariffDataInvalid, load_tariff, packaged_tables

PACKAGED = Path(str(packaged_tables()))


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A copy of the packaged tables to spoil."""
    return copytree(PACKAGED, tmp_path / "osago")


def test_every_capital_has_a_value_today() -> None:
    """A buyer in any of the 89 regions must be able to choose at least one place."""
    places = load_tariff().places(date(2026, 11, 1))
    assert len(places) == 89
    assert places["Москва"] == ["Москва"]


def test_places_of_an_edition_are_those_with_a_value() -> None:
    """The list a buyer chooses from must not hold a town that is then refused."""
    tariff = load_tariff()
    assert "Искитим" in tariff.places(date(2026, 6, 21))["Новосибирская область"]
    assert "Искитим" not in tariff.places(date(2026, 6, 22))["Новосибирская область"]


def change(old: str, new: str) -> Callable[[str], str]:
    """A slip that replaces the first ``old``."""

    def changed(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return changed


SLIPS: dict[str, tuple[str, Callable[[str], str], str]] = {
    "not a number": ("kbm.csv", change("M,3.92", "M,3.9z"), "kbm.csv:2: not a number"),
    "no coefficient is zero": ("kbm.csv", change("M,3.92", "M,0"), "kbm.csv:2: '0' is not a positive number"),
    "min above max": ("base_rates.csv", change("324,2536", "3240,2536"), "base_rates.csv:2: the minimum is above"),
    "unknown status": ("ko.csv", change("confirmed", "sure"), "ko.csv:2: status 'sure' is none of"),
    "no source": ("ko.csv", change(",all,", ",,"), "ko.csv:2: a number without a directive and evidence"),
    "no such day": ("ks.csv", change("2022-09-13", "2022-09-31"), "ks.csv:2: day is out of range"),
    "backwards": ("ko.csv", change("2022-09-13,2025-01-26", "2022-09-13,2021-01-26"), "ko.csv:3: ends before"),
    "a cell too many": ("km.csv", change("0.6,", "0.6,,"), "km.csv:2: the row has more or fewer cells"),
    "a missing column": ("kvs_owner.csv", change("multiplier", "times"), "kvs_owner.csv:2: there is no column"),
    "two values on one day": (
        "ko.csv",
        change("2025-01-27", "2025-01-26"),
        "ko.csv:4: in force on the same days as line 3",
    ),
    "a gap between editions": ("editions.csv", change("2025-01-26", "2025-01-25"), "editions.csv:3: does not begin"),
    "an unknown unit": ("kp.csv", change("days", "weeks"), "kp.csv:2: unit 'weeks'"),
}


@pytest.mark.parametrize(("name", "slip", "message"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_named_with_file_and_line(tables: Path, name: str, slip: Callable[[str], str], message: str) -> None:
    """Whoever edits a table must learn at once where the slip is, instead of selling at a wrong price."""
    path = tables / name
    path.write_text(slip(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(TariffDataInvalid) as refused:
        load_tariff(tables)
    assert message in str(refused.value)


def test_a_missing_or_empty_table_is_named(tables: Path) -> None:
    """A package built without a table must not start as if the factor were one."""
    (tables / "km.csv").write_text((tables / "km.csv").read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    with pytest.raises(TariffDataInvalid, match=r"km\.csv: the table is empty"):
        load_tariff(tables)
    (tables / "km.csv").unlink()
    with pytest.raises(TariffDataInvalid, match=r"km\.csv: cannot be read"):
        load_tariff(tables)
