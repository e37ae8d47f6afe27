"""The instructions of the Dockerfile."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Instruction(NamedTuple):
    """An instruction: its stage, counted from 0, its keyword in capitals, and the rest with lines joined."""

    stage: int
    keyword: str
    arguments: str


def read_dockerfile() -> list[Instruction]:
    """Read the instructions of the Dockerfile, in order."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    instructions: list[Instruction] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            keyword, _, arguments = line.strip().partition(" ")
            stage = sum(each.keyword == "FROM" for each in instructions) - (keyword != "FROM")
            instructions.append(Instruction(stage, keyword.upper(), " ".join(arguments.split())))
    return instructions


def copied_names() -> list[str]:
    """Return the files and folders of the repository that the first stage copies."""
    return [
        name
        for stage, keyword, arguments in read_dockerfile()
        if keyword == "COPY" and stage == 0
        for name in shlex.split(arguments)[:-1]
    ]


def run_commands(stage: int) -> list[list[str]]:
    """Return the commands of the RUN instructions of a stage, split into words."""
    return [
        shlex.split(command)
        for number, keyword, arguments in read_dockerfile()
        if keyword == "RUN" and number == stage
        for command in arguments.split("&&")
    ]


def wheel_command() -> list[str]:
    """Return the command that builds the wheel."""
    (command,) = [words for words in run_commands(0) if words[:3] == ["python", "-m", "build"]]
    return command
