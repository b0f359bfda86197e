"""A twin that stands in one layout does not become another one by accident, and leaves nothing behind on its way."""

from pathlib import Path

import msgspec
import pytest

from deploy.commands import TwinFailed
from deploy.twin import whole
from deploy.twin.inventory import Machine
from deploy.twin.whole import Twin
from tests.unit.deploy.made import inventory

INVENTORY = inventory(Machine(name="spb-db-1", site="spb", address="10.60.1.11", memory=512, groups=("postgresql",)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A twin that was brought up, and a machine of the layout that it comes from."""
    (tmp_path / "inventory.json").write_bytes(msgspec.json.encode(INVENTORY))
    for name in ("spb-db-1", "witness-1"):
        (tmp_path / "machines" / name).mkdir(parents=True)
    return tmp_path


def test_a_twin_is_not_brought_up_again_in_another_layout(home: Path) -> None:
    """Machines that the other layout lacks would run on, with quorums that count on them."""
    whole.check_layout(home, "witness")
    with pytest.raises(TwinFailed, match=r"stands in the layout witness.* switch 3\+2"):
        whole.check_layout(home, "3+2")


def test_a_new_twin_may_have_any_layout(tmp_path: Path) -> None:
    """There is nothing yet that would have to go there."""
    for layout in ("witness", "3+2"):
        whole.check_layout(tmp_path, layout)


def test_a_machine_on_its_way_out_is_known(home: Path) -> None:
    """Taking the twin down would leave it running."""
    assert [one.name for one in whole.strays(Twin(home, INVENTORY))] == ["witness-1"]
