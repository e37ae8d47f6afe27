"""The command `forget`."""

from pathlib import Path

from helpers.cli_workspace import remove_model
from helpers.command_line import Run
from onelook.gallery.backup import read_backup


def test_forget_needs_no_model(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    remove_model(workspace)
    assert run("forget", "Anna")[0] == 0
    assert run("forget", "Anna")[0] == 1


def test_forget_everywhere_asks_and_lists_what_is_left(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    run("enroll", "Bob", "s2.png")
    run("backup", "b.zip")
    (workspace / "notes.txt").write_text("Anna")
    code, out, err = run("forget", "Anna", "--everywhere", ".")
    assert (code, out) == (1, "b.zip: backup: 1 photo\n")
    assert "left for you: notes.txt: mentions the name" in err and "agree with --yes" in err
    assert run("gallery")[1] == "Anna\t1\nBob\t1\n"
    code, out, _ = run("forget", "Anna", "--everywhere", ".", "--yes")
    assert (code, out.splitlines()[-1]) == (1, "Anna: removed from gallery, b.zip")
    assert read_backup(workspace / "b.zip").identities == ["Bob"]
    (workspace / "notes.txt").unlink()
    assert run("forget", "Anna", "--everywhere", ".")[:2] == (0, "Anna: nothing found that can be removed\n")
    for arguments in (("--everywhere",), (".",)):
        code, _, err = run("forget", "Bob", *arguments)
        assert code == 1 and "need each other" in err
