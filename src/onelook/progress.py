"""Progress bars on stderr."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from onelook.logs import stderr_console

Item = TypeVar("Item")


def progress_bar() -> Progress:
    """Return a progress bar on stderr; disabled where that is not a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = stderr_console()
    return Progress(*columns, console=console, disable=not console.is_terminal)


def track(items: Sequence[Item], description: str) -> Iterable[Item]:
    """Yield the items, and show with a progress bar how many are done."""
    with progress_bar() as progress:
        yield from progress.track(items, description=description)
