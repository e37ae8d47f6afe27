"""Find and rewrite the generated tables of benchmarks/README.md.

A helper of suite.py.

A generated table stands between `<!-- bench: COMMAND -->` and `<!-- end -->`, each alone on its line. COMMAND is a file
of this folder and its arguments; DATA stands for the folder of the research data. Two such lines are all that a new
table needs. The table of machines stands between `<!-- machines -->` and `<!-- end -->`.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from onelook.errors import OnelookError

BENCH, MACHINES, END = re.compile(r"<!-- bench: (\S.*\S) -->"), "<!-- machines -->", "<!-- end -->"
DATA = "DATA"
# The line under a table that names its machine; of tables made by hand it says something else.
MADE_ON = re.compile(r"\*machine ([A-Z]),", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Lines between two marker lines."""

    command: str  # empty: the machines
    lines: tuple[int, int]  # from the one after the opening marker up to the closing one, counted from 0

    @property
    def words(self) -> list[str]:
        """Return the file and its arguments."""
        return shlex.split(self.command)

    @property
    def name(self) -> str:
        """Return the file name without its suffix."""
        return self.words[0].removesuffix(".py")

    def needs(self, data: Path) -> Iterator[Path]:
        """Return the paths that must exist.

        The research data, and the outputs of `make repro`.
        """
        if DATA in self.words:
            yield data
        yield from (Path(word) for word in self.words if word.startswith("build/"))

    def arguments(self, data: Path) -> list[str]:
        """Return the file and its arguments with DATA replaced."""
        return [str(data) if word == DATA else word for word in self.words]


def read_blocks(text: str, folder: Path) -> list[Block]:
    """Return the blocks of a document in its order.

    Their commands are files of `folder`.

    Raises:
        OnelookError: a comment is no marker, markers are not in pairs, a command is repeated, or its file is missing.
    """
    blocks: list[Block] = []
    opened: tuple[str, int] | None = None
    for number, line in enumerate(map(str.strip, text.split("\n"))):
        found = BENCH.fullmatch(line)
        if found or line == MACHINES:
            if opened:
                raise OnelookError(f"line {number + 1}: {line} before the {END} of line {opened[1]}")
            opened = (found[1] if found else "", number + 1)
        elif line == END:
            if not opened:
                raise OnelookError(f"line {number + 1}: {END} closes nothing")
            blocks.append(Block(opened[0], (opened[1], number)))
            opened = None
        elif line.startswith("<!--"):
            known = f"<!-- bench: FILE.py ARGUMENTS -->, {MACHINES} and {END}"
            raise OnelookError(f"line {number + 1}: {line} is no marker; there are {known}")
    if opened:
        raise OnelookError(f"line {opened[1]}: no {END} follows")
    _check(blocks, folder)
    return blocks


def _check(blocks: Sequence[Block], folder: Path) -> None:
    commands = [block.command for block in blocks]
    if commands.count("") != 1:
        raise OnelookError(f"there are {commands.count('')} tables of machines ({MACHINES}); one is needed")
    for block in blocks:
        if commands.count(block.command) > 1:
            raise OnelookError(f"line {block.lines[0]}: {block.command} has a table already")
        if block.command and not (folder / block.words[0]).is_file():
            raise OnelookError(f"line {block.lines[0]}: {block.words[0]} is no file of {folder.name}/")


def with_content(text: str, command: str, content: str, folder: Path) -> str:
    """Return the document with new lines in the block of a command.

    Raises:
        OnelookError: as `read_blocks`; or the command has no block any more.
    """
    places = {block.command: block.lines for block in read_blocks(text, folder)}
    if command not in places:
        raise OnelookError(f"{command}: its table was taken out meanwhile")
    lines = text.split("\n")
    first, last = places[command]
    return "\n".join([*lines[:first], "", *content.strip("\n").split("\n"), "", *lines[last:]])


def with_table(text: str, command: str, printed: str, machine: dict[str, str], provenance: str, folder: Path) -> str:
    """Return the document with a command's output.

    A provenance line under it and a row for the machine.

    Rows of machines that no table names any more are removed.
    """
    machines = next(block for block in read_blocks(text, folder) if not block.command)
    rows = {}
    for line in text.split("\n")[slice(*machines.lines)]:
        name, *cells = line.strip("| ").split(" | ")
        rows[name] = cells
    own = list(machine.values())
    letter = next((name for name, cells in rows.items() if cells == own), None)
    letter = letter or next(name for name in ascii_uppercase if name not in rows)
    text = with_content(text, command, f"{printed}\n\n*machine {letter}, {provenance}*", folder)
    left = {name: cells for name, cells in (rows | {letter: own}).items() if name in MADE_ON.findall(text)}
    lines = [f"| machine | {' | '.join(machine)} |", "|---" * (1 + len(machine)) + "|"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in sorted(left.items())]
    return with_content(text, "", "\n".join(lines), folder)
