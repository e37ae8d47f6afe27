import json
import shutil
from pathlib import Path

import pytest

from helpers.command_line import Run


def test_a_registered_gallery_is_used_by_version_or_alias_without_its_folders(run: Run, workspace: Path) -> None:
    (workspace / ".dvc").mkdir()
    run("enroll", "Anna", "s1.png")
    code, out, err = run("register", "--alias", "champion")
    assert (code, out, err) == (0, "gallery: models:/onelook/1, models:/onelook@champion\n", "")
    expected = run("identify", "s1.png", "s2.png", "--json", "--model", "build/model")[1]
    assert [photo["faces"][0]["name"] for photo in json.loads(expected)] == ["Anna", None]
    run("enroll", "Bob", "s2.png")
    assert run("register", "--alias", "champion")[1].startswith("gallery: models:/onelook/2")
    shutil.rmtree(workspace / "gallery")
    shutil.rmtree(workspace / "build/model")
    first = run("identify", "s1.png", "s2.png", "--json", "--model", "models:/onelook/1")
    assert first == (0, expected, "")
    latest = json.loads(run("identify", "s2.png", "--json", "--model", "models:/onelook@champion")[1])
    assert latest[0]["faces"][0]["name"] == "Bob", "the alias moved to the second version"


def test_an_unknown_uri_or_a_crafted_version_gives_a_one_line_error(run: Run, workspace: Path) -> None:
    (workspace / ".dvc").mkdir()
    code, _, err = run("identify", "s1.png", "--model", "models:/onelook@champion")
    assert (code, err.count("\n")) == (1, 1) and "nothing is registered; run `onelook register`" in err
    run("enroll", "Anna", "s1.png")
    run("register")
    for address in ("models:/onelook@champion", "models:/onelook/7", "models:/other/1"):
        code, _, err = run("identify", "s1.png", "--model", address)
        assert (code, err.count("\n")) == (1, 1) and err.startswith(f"error: {address}: cannot be read"), err
    code, _, err = run("identify", "s1.png", "--model", "models:/onelook")
    assert code == 1 and "write models:/NAME@ALIAS or models:/NAME/VERSION" in err
    (description,) = (workspace / "mlflow").rglob("MLmodel")
    description.write_text("flavors: " + "[" * 20_000)
    code, _, err = run("identify", "s1.png", "--model", "models:/onelook/1")
    assert (code, err.count("\n")) == (1, 1) and f"{description.name}: cannot be used (more than 64 lists" in err


def test_a_damaged_gallery_is_not_registered(run: Run, workspace: Path) -> None:
    (workspace / ".dvc").mkdir()
    run("enroll", "Anna", "s1.png")
    (workspace / "gallery/gallery.sqlite").write_bytes(b"{}")
    code, _, err = run("register")
    assert code == 1 and "damaged" in err
    assert not (workspace / "mlflow").exists()


@pytest.mark.parametrize("alias", ["", "v1", "17", "latest", "a b", "a/b", "ä"])
def test_an_invalid_alias_creates_no_registry(run: Run, workspace: Path, alias: str) -> None:
    (workspace / ".dvc").mkdir()
    run("enroll", "Anna", "s1.png")
    code, _, err = run("register", "--alias", alias)
    assert code == 1 and "cannot be an alias" in err
    assert not (workspace / "mlflow").exists()


def test_a_version_is_named_after_forget_and_removed_for_good(run: Run, workspace: Path) -> None:
    (workspace / ".dvc").mkdir()
    run("enroll", "Anna", "s1.png")
    run("register", "--alias", "champion")
    assert (workspace / "mlflow").stat().st_mode & 0o077 == 0
    code, _, err = run("forget", "Anna")
    assert code == 0 and err.startswith("warning: still holds Anna: ") and "`onelook unregister 1`" in err
    assert run("unregister")[2] == "error: name a version, as in `onelook unregister 3`, or --deleted\n"
    assert "agree with --yes" in run("unregister", "1")[2]
    code, out, _ = run("unregister", "models:/onelook@champion", "--deleted", "--yes")
    removed = ["models:/onelook@champion: version 1 removed with its files", "files of 0 deleted versions removed"]
    assert (code, out.splitlines()) == (0, removed)
    files = [path for path in (workspace / "mlflow").rglob("*") if path.is_file()]
    assert files and not any(b"Anna" in path.read_bytes() for path in files)
