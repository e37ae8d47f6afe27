"""Galleries in memory that follow the changes of other processes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.gallery_backends import METADATA, make_batch_of
from onelook.gallery import gallery_difference, snapshots, storage
from onelook.gallery.data import empty_gallery
from onelook.gallery.faiss_backend import FaissBackend


def test_a_refresh_reads_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = FaissBackend(tmp_path / "g", METADATA)
    writer.add(make_batch_of(["a", "b", "a"]), all_or_nothing=True)
    reader = FaissBackend(tmp_path / "g")
    probe = make_batch_of(["?"], 3).embeddings
    reader.search(probe)
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "read", lambda folder: pytest.fail("read the whole gallery"))
        writer.add(make_batch_of(["c"], 3), all_or_nothing=True)
        writer.rename("b", "d")
        writer.remove_photos("a", [f"{0:064x}"])
        reader.refresh()
    assert reader.people() == {"a": 1, "c": 1, "d": 1}
    found = reader.search(probe)
    assert found.names[found.ranking.indices[0, 0]] == "c" and found.people_count == 3
    assert reader.revision() == FaissBackend(tmp_path / "g").revision()


def test_a_reader_far_behind_and_one_of_a_replaced_gallery_read_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = FaissBackend(tmp_path / "g", METADATA)
    writer.add(make_batch_of(["a"]), all_or_nothing=True)
    reader = FaissBackend(tmp_path / "g")
    monkeypatch.setattr(gallery_difference, "JOURNAL_LENGTH", 2)
    for number in range(1, 6):
        writer.add(make_batch_of([f"p{number}"], number), all_or_nothing=True)
    reader.refresh()
    assert len(reader.people()) == 6
    shutil.rmtree(tmp_path / "g")
    reader.refresh()
    assert reader.people() == {}
    other = FaissBackend(tmp_path / "g", METADATA)
    other.add(make_batch_of(["z"], 9), all_or_nothing=True)
    reader.refresh()
    assert reader.people() == {"z": 1}


@pytest.mark.parametrize("managed", [False, True])
def test_a_gallery_of_an_earlier_format_is_read_and_upgraded(
    tmp_path: Path, managed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    from onelook.errors import GalleryError
    from onelook.gallery.file_format import serialize

    batch = make_batch_of(["a", "b"])
    data = empty_gallery(METADATA.model_copy(update={"managed": managed})).add(batch.faces, batch.embeddings)
    (tmp_path / "g").mkdir()
    for name, content in serialize(data).items():
        (tmp_path / "g" / name).write_bytes(content)
    before = {path.name for path in (tmp_path / "g").iterdir()}
    backend = FaissBackend(tmp_path / "g")
    assert backend.people() == {"a": 1, "b": 1}
    assert backend.faces_of("a") == [batch.faces[0]] and backend.find_enrolled([batch.faces[1].sha256]) != {}
    assert {path.name for path in (tmp_path / "g").iterdir()} == before
    if managed:
        with pytest.raises(GalleryError, match="the pipeline rebuilds"):
            storage.upgrade(tmp_path / "g")
        assert {path.name for path in (tmp_path / "g").iterdir()} == before
        return
    backend.rename("a", "c")
    assert "upgraded to the present format" in caplog.text
    assert {path.name for path in (tmp_path / "g").iterdir()} == {"gallery.sqlite", "swept.json"}
    assert backend.people() == FaissBackend(tmp_path / "g").people() == {"b": 1, "c": 1}
    np.testing.assert_array_equal(storage.read(tmp_path / "g").embeddings, batch.embeddings)
    assert not storage.upgrade(tmp_path / "g")
