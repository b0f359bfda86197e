"""Agreements: which version holds on a day, and files that are refused."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from insuretech.connectors.directory import read_profiles
from insuretech.settlement.agreements import AgreementsInvalid, read_agreements

FILE = """
agreements:
  - insurer: beacon
    version: beacon-1
    valid_from: 2026-01-01
    valid_until: 2026-06-30
    products: {osago: "0.05", "*": "0.10"}
    vat: {mode: none}
    on_cancellation: proportional
    settlement: net
    channel: {kind: mail, to: registers@beacon.example}
  - insurer: beacon
    version: beacon-2
    valid_from: 2026-07-01
    products: {travel: "0.20"}
    vat: {mode: on_top, rate: "0.20"}
    on_cancellation: kept
    settlement: gross
    channel: {kind: api, url: "http://beacon.example/registers"}
"""


@pytest.mark.parametrize(
    ("product", "day", "agreement", "rate"),
    [
        ("osago", date(2025, 12, 31), None, None),
        ("osago", date(2026, 1, 1), "beacon-1", "0.05"),
        ("travel", date(2026, 6, 30), "beacon-1", "0.10"),
        ("travel", date(2026, 7, 1), "beacon-2", "0.20"),
        ("osago", date(2026, 7, 1), None, None),
        ("travel", date(2040, 1, 1), "beacon-2", "0.20"),
    ],
)
def test_the_version_of_the_day_of_conclusion_holds(
    tmp_path: Path, product: str, day: date, agreement: str | None, rate: str | None
) -> None:
    """A policy rated by another version is a wrong commission."""
    path = tmp_path / "agreements.yaml"
    path.write_text(FILE)
    terms = read_agreements(path).terms("beacon", product, day)
    assert (terms and terms.agreement, terms and terms.rate) == (agreement, rate and Decimal(rate))


def test_a_register_after_the_end_of_an_agreement_goes_where_it_last_went(tmp_path: Path) -> None:
    """Cancellations still come when an agreement is over."""
    path = tmp_path / "agreements.yaml"
    path.write_text(FILE.replace("2026-07-01", "2027-01-01"))
    agreements = read_agreements(path)
    assert agreements.on("beacon", date(2026, 8, 31)) is None
    latest = agreements.latest("beacon", date(2026, 8, 31))
    assert latest is not None
    assert latest.version == "beacon-1"
    assert agreements.latest("nobody", date(2026, 8, 31)) is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("2026-07-01", "2026-06-30", "same days"),
        ("beacon-2", "beacon-1", "twice"),
        ("valid_until: 2026-06-30", "valid_until: 2025-06-30", "ends before"),
        ('osago: "0.05"', 'osago: "1.05"', "share of osago"),
        ('osago: "0.05"', 'osago: "0.0500001"', "six places"),
        ('rate: "0.20"', 'rate: "0"', "VAT"),
        ("mode: none", 'mode: none, rate: "0.2"', "VAT"),
        ("mode: on_top", "mode: sometimes", "wrong"),
        ("kind: mail", "kind: pigeon", "wrong"),
        ("products:", "shares:", "wrong"),
        ("agreements:", "deals:", "needs a list"),
        ("agreements:", "agreements: [", "wrong"),
    ],
)
def test_a_file_that_would_pay_wrongly_is_refused(tmp_path: Path, before: str, after: str, said: str) -> None:
    """Better no start than a month of commissions to be corrected."""
    path = tmp_path / "agreements.yaml"
    path.write_text(FILE.replace(before, after))
    with pytest.raises(AgreementsInvalid, match=said):
        read_agreements(path)


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    """Otherwise one looks for it in the dark."""
    with pytest.raises(AgreementsInvalid, match="nowhere"):
        read_agreements(tmp_path / "nowhere.yaml")


def test_the_share_shown_to_buyers_is_the_one_agreed() -> None:
    """The site tells people what we earn on an offer; that must be what we settle."""
    agreements = read_agreements()
    text = (Path(__file__).parents[3] / "src/insuretech/connectors/data/insurers.yaml").read_text("utf-8")
    for profile in read_profiles(text, "insurers.yaml", 60).values():
        for product in ("osago", "mortgage", "travel"):
            terms = agreements.terms(profile.code, product, date(2026, 11, 1))
            assert terms is not None
            assert terms.rate == profile.commission
