"""The command `forget`."""

from pathlib import Path

from helpers.cli_workspace import remove_model
from helpers.command_line import Run


def test_forget_needs_no_model(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    remove_model(workspace)
    assert run("forget", "Anna")[0] == 0
    assert run("forget", "Anna")[0] == 1
