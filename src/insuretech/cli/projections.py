"""``insuretech projections …``: what is derived and can be derived again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from insuretech.cli.output import AsJson, print_json, show, tell
from insuretech.cli.session import with_marketplace
from insuretech.kit.failures import Unusable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from insuretech.compose.single import Composition
    from insuretech.kit.agreement import Checked
    from insuretech.kit.projections import Projection

commands = typer.Typer(help="What is derived and can be derived again.", no_args_is_help=True)

_Answer = TypeVar("_Answer")
Name = Annotated[str, typer.Argument(help="Only this one, as service.projection.")]

_IN_MEMORY = "in the memory of each process"


class HotStorageAway(Unusable):
    """The hot storage does not answer."""

    def __init__(self) -> None:
        super().__init__("Redis does not answer, or a part of it: try again when `insuretech_redis_nodes_away` is 0.")


class AlreadyRebuilding(Unusable):
    """Somebody else rebuilds it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The projection {name} is being rebuilt by another process.")


@commands.command("list")
def list_all(*, as_json: AsJson = False) -> None:
    """Which projections there are, and how they stand."""
    show(with_marketplace(_describe), title="Projections", as_json=as_json)


@commands.command()
def rebuild(name: Name = "", *, as_json: AsJson = False) -> None:
    """Build projections anew from their source, beside those that are read until then."""
    show(with_marketplace(lambda marketplace: _rebuild(marketplace, name)), title="Rebuilt", as_json=as_json)


@commands.command()
def check(
    name: Name = "",
    *,
    patience: Annotated[float, typer.Option(help="Seconds in which what is on its way may arrive.")] = 8.0,
    as_json: AsJson = False,
) -> None:
    """Hold projections in hot storage against their source; ends with 1 when they differ."""
    found = with_marketplace(lambda marketplace: _check(marketplace, name, patience))
    differences = [difference for checked in found for difference in checked.differences]
    if as_json:
        print_json(found)
    else:
        show(differences, title="Differences", as_json=False)
        entries = sum(checked.entries for checked in found)
        tell(f"{entries} entries looked at, {len(differences)} differ.", {}, as_json=False)
    if differences:
        raise typer.Exit(1)


async def _describe(marketplace: Composition) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"projection": name, "lies": "in PostgreSQL", "generation": None, "building": None, "swept_at": None}
        for name in _stored(marketplace)
    ]
    for name, projection in _hot(marketplace).items():
        if projection.shared:
            described = await _asked(name, projection.describe)
            facts = {field: getattr(described, field) for field in ("generation", "building", "swept_at")}
            rows.append({"projection": name, "lies": "in Redis", **facts})
        else:
            rows.append({**rows[0], "projection": name, "lies": _IN_MEMORY})
    return rows


async def _rebuild(marketplace: Composition, wanted: str) -> list[dict[str, object]]:
    stored, hot = _stored(marketplace), _hot(marketplace)
    _known(wanted, {**stored, **hot})
    rows: list[dict[str, object]] = [
        {"projection": name, "entries": await rebuild()} for name, rebuild in stored.items() if wanted in {"", name}
    ]
    for name, projection in hot.items():
        if wanted in {"", name} and projection.shared:
            rows.append({"projection": name, "entries": await _asked(name, projection.rebuild)})
    return rows


async def _check(marketplace: Composition, wanted: str, patience: float) -> list[Checked]:
    hot = _hot(marketplace)
    _known(wanted, hot)
    return [
        await _asked(name, partial(projection.check, patience))
        for name, projection in hot.items()
        if wanted in {"", name} and projection.shared
    ]


async def _asked(name: str, question: Callable[[], Awaitable[_Answer]]) -> _Answer:
    from insuretech.kit.hot import HotAway
    from insuretech.kit.projections import RebuildUnderWay

    try:
        return await question()
    except HotAway as error:
        raise HotStorageAway from error
    except RebuildUnderWay as error:
        raise AlreadyRebuilding(name) from error


def _stored(marketplace: Composition) -> dict[str, Callable[[], Awaitable[int]]]:
    return {
        f"{service.name}.{name}": rebuild
        for service in marketplace.services
        for name, rebuild in service.projections.items()
    }


def _hot(marketplace: Composition) -> dict[str, Projection]:
    return {projection.name: projection for service in marketplace.services for projection in service.hot}


def _known(wanted: str, known: Collection[str]) -> None:
    if wanted and wanted not in known:
        raise typer.BadParameter(f"no such projection; there are {', '.join(known) or 'none'}", param_hint="NAME")
