"""From which position on a relay has to look for events that wait.

What was marked as published leaves dead entries in the index of what waits. Until they are vacuumed a look from the
beginning passes all of them: with a hundred thousand since the last vacuum, or while an old snapshot keeps them, that
takes tens of milliseconds each time. A look from the floor on passes a few seconds' worth, whatever the plan.

The floor may never pass over an event that is still to be committed: it would be late, and later ones of its key would
go before it. So a floor that was seen is used only when every transaction has ended that was under way then.
"""

from typing import Any, Protocol

import sqlalchemy as sa


class Row(Protocol):
    """A row of either library."""

    def __getitem__(self, name: str, /) -> Any: ...


class OutboxFloor:
    """The floor of one outbox, as one relay knows it; ``every``: seconds between looks at it."""

    def __init__(self, outbox: sa.Table, every: float = 5.0) -> None:
        self.value = 0
        self.sql = f"""
            select (select min(position) from {outbox.fullname} where published_at is null) as lowest,
                coalesce(pg_sequence_last_value(pg_get_serial_sequence('{outbox.fullname}', 'position')), 0) as last,
                pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest,
                pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next
        """  # noqa: S608 - a name of ours
        self._every = every
        self._due = 0.0
        self._seen: int | None = None
        self._ended_with: int | None = None

    def is_due(self, now: float) -> bool:
        """Whether it is time to look; ``now`` is of a monotonic clock."""
        if now < self._due:
            return False
        self._due = now + self._every
        return True

    def learn(self, row: Row) -> None:
        """Take in what ``sql`` gave.

        The transactions to be waited for are those of the look after the one that saw the floor: a position is drawn a
        moment before its transaction has a number.
        """
        lowest = row["last"] + 1 if row["lowest"] is None else row["lowest"]
        if lowest < self.value:  # published events are to be sent again
            self.value, self._seen = lowest, None
        if self._seen is None:
            self._seen, self._ended_with = lowest, None
        elif self._ended_with is None:
            self._ended_with = row["next"]
        elif row["oldest"] >= self._ended_with:
            self.value = min(self._seen, lowest)
            self._seen, self._ended_with = lowest, None
