import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("milvus_lite", reason="needs Milvus: pip install 'onelook[milvus]'")
pytest.importorskip("pymilvus", reason="needs Milvus: pip install 'onelook[milvus]'")

from helpers.command_line import orl_image
from onelook.cli import app
from onelook.data.image_io import write_image
from onelook.errors import GalleryError
from onelook.gallery import storage


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_command_works_on_milvus_and_copies_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for person in (1, 2, 3):
        for number in (1, 2):
            write_image(tmp_path / f"people/s{person}/{number}.png", orl_image(person, number))
    milvus = ("--gallery", "milvus:data/people.db/staff")
    assert "1 photo enrolled" in run("enroll", "s1", "people/s1/1.png", *milvus)
    assert "5 photos enrolled, 1 enrolled before" in run("enroll-all", "people", *milvus)
    run("rename", "s1", 'Ada "A" Lovelace', *milvus)
    assert "4 photos in all" in run("merge", "s3", "s2", *milvus)
    assert [line.split("\t")[:2] for line in run("gallery", *milvus).splitlines()] == [
        ['Ada "A" Lovelace', "2"],
        ["s2", "4"],
    ]
    (original,) = json.loads(run("identify", "people/s1/2.png", "--json", *milvus))
    assert original["faces"][0]["name"] == 'Ada "A" Lovelace'
    run("backup", "before.zip", *milvus)
    run("forget", "s2", *milvus)
    assert run("gallery", *milvus).count("\n") == 1
    run("restore", "before.zip", "--yes", *milvus)
    run("export", "table", *milvus)
    assert (tmp_path / "table/faces.csv").read_text().count("\n") == 7
    assert "2 people, 6 photos" in run("copy", milvus[1], "gallery")
    run("copy", "gallery", "milvus:data/people.db/again")
    run("copy", "milvus:data/people.db/again", "back")
    source, copy = storage.read(tmp_path / "gallery"), storage.read(tmp_path / "back")
    assert source.faces == copy.faces and source.metadata == copy.metadata
    np.testing.assert_array_equal(source.embeddings, copy.embeddings)
    (copied,) = json.loads(run("identify", "people/s1/2.png", "--json"))
    assert copied["faces"][0]["similarity"] == pytest.approx(original["faces"][0]["similarity"], abs=2e-6)


@pytest.mark.parametrize("target", ["gallery", "milvus:people.db"])
def test_a_target_that_holds_a_gallery_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "1.png", orl_image(1, 1))
    run("enroll", "Ada", "1.png")
    run("copy", "gallery", "milvus:people.db")
    with pytest.raises(GalleryError, match="already holds"):
        run("copy", "milvus:people.db", target)
