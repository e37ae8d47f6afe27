"""Run all benchmarks and rewrite the tables of benchmarks/README.md.

    python benchmarks/suite.py --data ../shared/data [--only NAME ...]

Each command that the document names (see `readme_tables.py`) runs in a process of its own, one after the other, with
two threads. Its output replaces its table at once, with a line for machine, duration, other load, day and commit:
after Ctrl-C the finished tables are kept. Where a command fails, its table stays, a line says why, and the exit code
is 1. Tables that need absent research data, or absent outputs of `make repro`, are skipped.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from machine_info import busy_seconds, current_commit, describe_machine, own_seconds
from readme_tables import Block, read_blocks, with_table
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from onelook.errors import OnelookError
from onelook.files import write_text

THREADS = 2
QUIET = 0.05  # of the processors' time for other work


class Suite:
    """A document, `README.md` beside the commands in `folder`.

    And the folder of the research data.
    """

    def __init__(self, folder: Path, data: Path, console: Console) -> None:
        self.folder, self.data, self.console = folder, data, console
        self.document = folder / "README.md"
        self.commit = current_commit(folder.parent, self.document)
        self.machine = describe_machine()

    def text(self) -> str:
        """Read the document as it is now, as it may be edited meanwhile."""
        return self.document.read_bytes().decode()

    def chosen(self, names: Sequence[str]) -> list[Block]:
        """Return the blocks to make: those of the named commands, or all.

        Raises:
            OnelookError: the document's markers are wrong, or no table is made by a command of that name.
        """
        blocks = [block for block in read_blocks(self.text(), self.folder) if block.command]
        wanted = {name.removesuffix(".py") for name in names}
        unknown = wanted - {block.name for block in blocks}
        if unknown:
            known = ", ".join(dict.fromkeys(block.name for block in blocks))
            raise OnelookError(f"{', '.join(sorted(unknown))}: no such table; there are {known}")
        return [block for block in blocks if not wanted or block.name in wanted]

    def make(self, blocks: Sequence[Block]) -> int:
        """Make the tables and return the number of failures."""
        failed = 0
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("benchmarks", total=len(blocks))
            for number, block in enumerate(blocks):
                progress.update(task, description=block.command)
                absent = [path for path in block.needs(self.data) if not (self.folder.parent / path).exists()]
                try:
                    if absent:
                        self.tell(f"{block.command}: left out, as {absent[0]} is not there")
                    else:
                        self.tell(f"{block.command}: {self.make_one(block)}")
                except OnelookError as error:
                    failed += 1
                    self.tell(f"{block.command}: FAILED, its table is as it was: {error}")
                except KeyboardInterrupt:
                    self.tell(f"interrupted after {number} of {len(blocks)} tables; what is done is kept")
                    raise
                progress.advance(task)
        return failed

    def make_one(self, block: Block) -> str:
        """Make and write a table; return its duration and the other load meanwhile.

        Raises:
            OnelookError: it could not be made, or not be written.
        """
        began, others = time.monotonic(), busy_seconds() - own_seconds()
        printed = self.printed_by(block)
        seconds, others = time.monotonic() - began, busy_seconds() - own_seconds() - others
        took, share = duration(seconds), others / (seconds * (os.cpu_count() or 1))
        if share > QUIET:
            took += f" while other work took {share:.0%} of the processors"
        told = f"{took}, {time.strftime('%Y-%m-%d')}, {self.commit}"
        text = with_table(self.text(), block.command, printed, self.machine, told, self.folder)
        write_text(self.document, text)
        return took

    def printed_by(self, block: Block) -> str:
        """Return the output of a command.

        Raises:
            OnelookError: it ended in an error, or printed no table.
        """
        file, *arguments = block.arguments(self.data)
        done = subprocess.run(
            [sys.executable, str(self.folder / file), *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder.parent,
            env={**os.environ, "OMP_NUM_THREADS": str(THREADS)},
        )
        if done.returncode < 0:
            raise OnelookError(f"killed by {signal.Signals(-done.returncode).name}")
        if done.returncode:
            raise OnelookError(f"exit code {done.returncode}, {last_line(done.stderr)}")
        if not any(line.startswith("|") for line in done.stdout.splitlines()):
            raise OnelookError("it printed no table")
        return done.stdout.strip()

    def tell(self, line: str) -> None:
        """Print a line without markup."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def last_line(text: str) -> str:
    """Return the last nonempty line, which of an exception is its message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "and nothing said"


def duration(seconds: float) -> str:
    """Format a duration for people."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def main() -> None:
    """Make the requested tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the research data: folder of lfw/, widerface/, ...")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="benchmarks to run; by default all")
    arguments = parser.parse_args()
    for stopping in (signal.SIGINT, signal.SIGTERM):  # said, as a shell's background jobs ignore the first
        signal.signal(stopping, signal.default_int_handler)
    try:
        suite = Suite(Path(__file__).resolve().parent, arguments.data.resolve(), Console(stderr=True))
        failed = suite.make(suite.chosen(arguments.only))
    except OnelookError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
