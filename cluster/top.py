"""The cluster on a screen: who lives, how fast it goes, what waits; and keys to do harm and good."""

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Static

from cluster.control import DEAD, FROZEN, HEALTHY, Control
from cluster.watching import Row, Snapshot, Watcher
from insuretech.kit.failures import Unusable

_COLUMNS = ("process", "site", "state", "memory, MB", "processor, %", "requests/s", "lag", "outbox", "pid")
_COLOURS = {HEALTHY: "green", FROZEN: "cyan", DEAD: "red"}


class Screen(App[None]):
    """Shows a snapshot a second; keys act on the process under the cursor."""

    TITLE = "cluster"
    CSS = "#summary { height: 2; padding: 0 1; } #said { height: 1; padding: 0 1; color: $warning; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        ("k", "harm('kill')", "kill"),
        ("f", "harm('freeze')", "freeze"),
        ("r", "harm('resume')", "resume"),
        ("v", "harm('revive')", "revive"),
        ("a", "revive_all", "revive all"),
        ("q", "quit", "leave"),
    ]

    def __init__(self, control: Control, *, interval: float = 1.0) -> None:
        super().__init__()
        self._control = control
        self._watcher = Watcher(control)
        self._interval = interval
        self._looking = False

    def compose(self) -> ComposeResult:
        """A line on the whole, the table, a line for what was said."""
        yield Static("Looking …", id="summary")
        yield DataTable[Text](cursor_type="row", zebra_stripes=True)
        yield Static("", id="said")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        for name in _COLUMNS:
            self._table.add_column(name, key=name)
        self._look()
        self.set_interval(self._interval, self._look)

    @property
    def _table(self) -> "DataTable[Text]":
        return self.query_one(DataTable)

    @work(thread=True, exclusive=False)
    def _look(self) -> None:
        if self._looking:  # the last look still waits for somebody who is frozen
            return
        self._looking = True
        try:
            snapshot = self._watcher.look()
        finally:
            self._looking = False
        self.call_from_thread(self.show, snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Put a snapshot on the screen; the cursor stays on its process. One that comes after the end shows nothing."""
        if not self.query(DataTable):
            return
        self.query_one("#summary", Static).update(summary(snapshot))
        table = self._table
        for row in snapshot.rows:
            cells = cells_of(row)
            if row.state.name in table.rows:
                for column, cell in zip(_COLUMNS, cells, strict=True):
                    table.update_cell(row.state.name, column, cell)
            else:
                table.add_row(*cells, key=row.state.name)

    def action_harm(self, what: str) -> None:
        """Do to the process under the cursor what the key says."""
        table = self._table
        if not table.row_count:
            return
        name = str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)
        deeds: dict[str, Callable[[str], None]] = {
            "kill": self._control.kill,
            "freeze": self._control.freeze,
            "resume": self._control.resume,
            "revive": self._control.revive,
        }
        self._do(f"{what} {name}", lambda: deeds[what](name))

    def action_revive_all(self) -> None:
        """Everything that is dead or frozen."""
        self._do("revive all", self._control.revive)

    @work(thread=True)
    def _do(self, words: str, deed: Callable[[], None]) -> None:
        """Outside of the screen's own loop, as some of it waits."""
        try:
            deed()
        except (Unusable, OSError) as error:
            words = f"{words}: {error}"
        self.call_from_thread(self.query_one("#said", Static).update, words)


def summary(snapshot: Snapshot) -> str:
    """The whole in two lines."""
    unwell = snapshot.unwell
    health = f"[red]unwell: {', '.join(unwell)}" if unwell else "[green]all well"
    return (
        f"{len(snapshot.rows)} processes, {snapshot.memory / 1e9:.1f} GB · {snapshot.rate:.0f} requests/s, "
        f"{snapshot.errors:.0f} errors/s, {snapshot.open_requests} open · outbox {snapshot.waiting}, "
        f"lag {snapshot.lag}\n{health}"
    )


def cells_of(row: Row) -> list[Text]:
    """A process as it stands in the table."""
    state = row.state
    return [
        Text(state.name),
        Text(state.zone),
        Text(state.state, style=_COLOURS.get(state.state, "yellow")),
        _number(state.memory / 1e6 if state.pid else None),
        _number(None if row.processor is None else row.processor * 100),
        _number(row.rate),
        _number(row.lag),
        _number(row.waiting),
        _number(state.pid or None),
    ]


def _number(value: float | None) -> Text:
    return Text("" if value is None else f"{value:.0f}", justify="right")
