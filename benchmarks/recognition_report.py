"""Tables of `recognition.py`: as Markdown, as JSON, and the picture of accuracy against face size."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pair_metrics import Metric

Cell = str | int | float | Metric
# Color-blind safe (Okabe and Ito 2008, "Color Universal Design").
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        key: name in the JSON file.
        title: heading.
        rows: cells by column, the same columns in each row.
        notes: sentences below the heading.
        has_intervals: the Markdown shows the intervals, which the JSON always has.
    """

    key: str
    title: str
    rows: Sequence[Mapping[str, Cell]]
    notes: Sequence[str] = field(default_factory=tuple)
    has_intervals: bool = True

    def to_markdown(self) -> str:
        """Return heading, notes and table."""
        columns = list(self.rows[0]) if self.rows else []
        lines = [f"### {self.title}", "", *(f"- {note}" for note in self.notes), *([""] if self.notes else [])]
        lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(self._format(row[column]) for column in columns)} |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Return the content for the JSON file; NaN becomes None."""
        rows = [{column: _json_cell(cell) for column, cell in row.items()} for row in self.rows]
        return {"title": self.title, "notes": list(self.notes), "rows": rows}

    def _format(self, cell: Cell) -> str:
        if isinstance(cell, Metric):
            interval = f" [{_number(cell.low)}, {_number(cell.high)}]" if self.has_intervals else ""
            return _number(cell.value) + interval
        return _number(cell) if isinstance(cell, float) else str(cell)


def _number(value: float) -> str:
    """Format a rate with three decimals, without the leading zero; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.3f}"
    return text.removeprefix("0") if 0 <= value < 1 else text


def _json_cell(cell: Cell) -> Any:
    if isinstance(cell, Metric):
        return {name: _json_cell(float(value)) for name, value in cell._asdict().items()}
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def plot_sizes(tables: Sequence[Table]) -> Figure:
    """Plot tables of a row per system and a column per face size, one below the other, with intervals.

    Args:
        tables: with a column `system` and columns whose names begin with a face size in pixels.
    """
    figure = Figure(figsize=(8, 4 * len(tables)), layout="constrained")
    for axes, table in zip(np.ravel(figure.subplots(len(tables), 1)), tables, strict=True):
        for row, color in zip(table.rows, COLORS, strict=False):
            cells = [(float(name.split()[0]), cell) for name, cell in row.items() if name != "system"]
            sizes = [size for size, _ in cells]
            values, lows, highs = np.array([cell for _, cell in cells], np.float64).T
            axes.plot(sizes, values, color=color, marker="o", label=str(row["system"]))
            axes.fill_between(sizes, lows, highs, color=color, alpha=0.12, linewidth=0)
        axes.set(xscale="log", xlabel="median face size, pixels", ylabel=table.title.partition(":")[0])
        axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize=8)
    return figure
