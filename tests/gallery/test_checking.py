"""The check of a gallery folder."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from helpers.gallery_backends import METADATA, make_batch_of
from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.checking import check_gallery
from onelook.gallery.faiss_backend import FaissBackend


def test_remains_permissions_and_damage_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    FaissBackend(folder, METADATA).add(make_batch_of(["a", "b"]), all_or_nothing=True)
    assert check_gallery(folder) == []
    (folder / ".gallery.sqlite.77").write_bytes(b"Anna")
    (tmp_path / ".g.new-abc").mkdir()
    folder.chmod(0o755)
    found = check_gallery(folder)
    assert [any(part in line for line in found) for part in ("sqlite.77", "g.new-abc", "chmod go=")] == [True] * 3
    storage.update(folder, lambda data: data, people=[])
    assert not (folder / ".gallery.sqlite.77").exists()
    with closing(sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = "
            "'faces_by_photo') WHERE name = 'faces_by_person'"
        )
    with pytest.raises(GalleryError, match="damaged"):
        check_gallery(folder)
