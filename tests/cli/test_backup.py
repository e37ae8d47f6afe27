"""The commands that copy a gallery into files and back."""

from datetime import date
from pathlib import Path

import pytest

from helpers.cli_workspace import empty_index
from helpers.command_line import Run
from onelook.gallery import storage


def test_backup_restore_and_export(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    assert run("backup", "b.zip") == (0, "b.zip: 1 person, 1 photo\n", "")
    assert run("backup", "b.zip")[0] == 1
    empty_index(workspace)
    assert run("identify", "s1.png")[0] == 1
    assert run("restore", "b.zip", "--yes")[0] == 0
    assert run("identify", "s1.png")[1].split("\t")[2] == "Anna"
    assert run("restore", "b.zip", "--gallery", "new") == (0, "new: 1 person, 1 photo\n", "")
    assert run("export", "out")[0] == 0
    assert sorted(path.name for path in (workspace / "out").iterdir()) == ["embeddings.safetensors", "faces.csv"]
    assert (workspace / "out/faces.csv").read_text().splitlines()[1].startswith("Anna,s1.png,")
    assert run("restore", "s1.png")[::2] == (
        1,
        "error: s1.png: no backup of a gallery, or a damaged one; use another copy\n",
    )


def test_restore_asks_and_keeps_the_old_gallery(run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("enroll", "Anna", "s1.png")
    run("backup", "b.zip")
    run("enroll", "Bob", "s2.png")
    code, out, err = run("restore", "b.zip")
    assert (code, out) == (1, "")
    assert err == (
        "error: Replace gallery by 1 person, 1 photo of b.zip? The old gallery is kept. "
        "There is no terminal to ask on, so nothing was changed; agree with --yes\n"
    )
    assert storage.read(workspace / "gallery").identities == ["Anna", "Bob"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, code in ((False, 1), (True, 0)):
        monkeypatch.setattr("typer.confirm", lambda _, answer=answer: answer)
        assert run("restore", "b.zip")[0] == code
        assert storage.read(workspace / "gallery").identities == (["Anna"] if answer else ["Anna", "Bob"])
    kept = list(workspace.glob("gallery-before-restore-*"))
    assert [storage.read(folder).identities for folder in kept] == [["Anna", "Bob"]]


def test_restore_leaves_out_who_was_forgotten_and_names_them(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    run("enroll", "Bob", "s2.png")
    run("backup", "b.zip")
    run("rename", "Anna", "Anne")
    run("forget", "Anne")
    assert b"Ann" not in (workspace / "gallery/gallery.sqlite").read_bytes()
    code, out, err = run("restore", "b.zip", "--yes")
    left_out = f"Anna: forgotten on {date.today()}, 1 photo"
    assert (code, err) == (0, f"warning: {left_out}; left out without --with-forgotten\n")
    assert out.splitlines()[:2] == ["gallery: 1 person, 1 photo", f"left out: {left_out}"]
    assert run("gallery")[1] == "Bob\t1\n"
    code, out, err = run("restore", "b.zip", "--yes", "--with-forgotten")
    assert code == 0 and "comes back" in err
    assert run("gallery")[1] == "Anna\t1\nBob\t1\n"
    (workspace / "gallery/gallery.sqlite").write_bytes(b"{}")
    assert "record of who was forgotten is damaged" in run("restore", "b.zip", "--yes")[2]


def test_restore_refuses_a_folder_of_photos_before_it_asks(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    run("backup", "b.zip")
    (workspace / "photos").mkdir()
    (workspace / "photos/a.jpg").write_bytes(b"precious")
    code, _, err = run("restore", "b.zip", "--gallery", "photos")
    assert code == 1 and "already holds something" in err


def test_a_check_names_what_killed_commands_left(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    run("backup", "b.zip")
    assert run("gallery", "--check") == (0, "gallery: no problem found\n", "")
    for name in (".b.zip.new-0123456789abcdef", ".gallery.new-0123456789abcdef"):
        (workspace / name).write_text("Anna")
    code, out, err = run("gallery", "--check")
    assert (code, out) == (1, "")
    assert err.count("left by a killed command; remove it") == 2 and ".b.zip.new-0123456789abcdef" in err
