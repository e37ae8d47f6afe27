"""A gallery in Milvus from the command line: enrolled, asked, changed, copied, and moved to a folder and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("milvus_lite", reason="needs Milvus: pip install 'onelook[milvus]'")
pytest.importorskip("pymilvus", reason="needs Milvus: pip install 'onelook[milvus]'")

from test_cli import orl

from onelook.cli import app
from onelook.data.image_io import write_image
from onelook.errors import GalleryError
from onelook.gallery import storage


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_command_works_on_milvus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for person in (1, 2, 3):
        for number in (1, 2):
            write_image(tmp_path / f"people/s{person}/{number}.png", orl(person, number))
    milvus = ("--gallery", "milvus:data/people.db/staff")
    assert "1 photo enrolled" in run("enroll", "s1", "people/s1/1.png", *milvus)
    assert "5 photos enrolled, 1 enrolled before" in run("enroll-all", "people", *milvus)
    run("rename", "s1", 'Ada "A" Lovelace', *milvus)
    assert "4 photos in all" in run("merge", "s3", "s2", *milvus)
    assert [line.split("\t")[:2] for line in run("gallery", *milvus).splitlines()] == [
        ['Ada "A" Lovelace', "2"],
        ["s2", "4"],
    ]
    (answer,) = json.loads(run("identify", "people/s1/2.png", "--json", *milvus))
    assert answer["faces"][0]["name"] == 'Ada "A" Lovelace'
    run("backup", "before.zip", *milvus)
    run("forget", "s2", *milvus)
    assert run("gallery", *milvus).count("\n") == 1
    run("restore", "before.zip", *milvus)
    run("export", "table", *milvus)
    assert (tmp_path / "table/faces.csv").read_text().count("\n") == 7
    assert "2 people, 6 photos" in run("copy", milvus[1], "gallery")
    run("copy", "gallery", "milvus:data/people.db/again")
    run("copy", "milvus:data/people.db/again", "back")
    one, other = storage.read(tmp_path / "gallery"), storage.read(tmp_path / "back")
    assert one.entries == other.entries and one.terms == other.terms
    np.testing.assert_array_equal(one.embeddings, other.embeddings)
    (same,) = json.loads(run("identify", "people/s1/2.png", "--json"))
    assert same["faces"][0]["similarity"] == pytest.approx(answer["faces"][0]["similarity"], abs=2e-6)


@pytest.mark.parametrize("target", ["gallery", "milvus:people.db"])
def test_a_place_that_is_taken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "1.png", orl(1, 1))
    run("enroll", "Ada", "1.png")
    run("copy", "gallery", "milvus:people.db")
    with pytest.raises(GalleryError, match="already holds"):
        run("copy", "milvus:people.db", target)
