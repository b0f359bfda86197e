"""``insuretech topics …``: Kafka's topics as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from insuretech.cli.output import AsJson, show, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from insuretech.kit.topics import Difference, Topic, Topics

commands = typer.Typer(help="Kafka's topics: what they should be and what they are.", no_args_is_help=True)
Grow = Annotated[bool, typer.Option("--grow", help="Also add partitions; keys move, so let consumers catch up first.")]
Copies = Annotated[int | None, typer.Option(min=1, help="Of each topic, while there are fewer brokers than it wants.")]


@commands.command("list")
def list_topics(*, as_json: AsJson = False) -> None:
    """The topics there must be and their settings, without asking Kafka."""
    from insuretech.contracts.topics import topics

    show(topics(), title="Topics", as_json=as_json)


@commands.command()
def plan(
    *,
    check: Annotated[bool, typer.Option(help="Exit with 1 when something differs.")] = False,
    grow: Grow = False,
    copies: Copies = None,
    as_json: AsJson = False,
) -> None:
    """What apply would do; changes nothing."""
    _, _, todo = _compared(grow=grow, copies=copies)
    show(todo, title="To be done", as_json=as_json)
    if check and todo:
        raise typer.Exit(1)


@commands.command("apply")
def make_so(*, grow: Grow = False, copies: Copies = None, as_json: AsJson = False) -> None:
    """Create missing topics and correct settings; fails when something is left that must not be done by a command."""
    there, wanted, todo = _compared(grow=grow, copies=copies)
    there.apply(wanted, todo)
    refused = [step for step in todo if step.refused]
    done = len(todo) - len(refused)
    tell(f"Made {done} changes to {len(wanted)} topics.", {"changes": done, "topics": len(wanted)}, as_json=as_json)
    if refused:
        from insuretech.kit.topics import TopicsDiffer

        raise TopicsDiffer(
            "\n".join(f"{one.topic}: {one.what} {one.now}, wanted {one.wanted}: {one.refused}." for one in refused)
        )


def _compared(*, grow: bool, copies: int | None) -> tuple[Topics, Sequence[Topic], list[Difference]]:
    import msgspec

    from insuretech.contracts.topics import topics
    from insuretech.kit.kafka import kafka_of
    from insuretech.kit.logging import configure_logging
    from insuretech.kit.settings import load_settings
    from insuretech.kit.topics import Topics, differences

    configure_logging("CRITICAL")
    wanted = [msgspec.structs.replace(topic, copies=copies or topic.copies) for topic in topics()]
    kafka = Topics(kafka_of(load_settings()))
    return kafka, wanted, differences(wanted, kafka.there([topic.name for topic in wanted]), grow=grow)
