"""Known copies that still hold a person after `forget`, and leftovers of killed commands."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.coded_faces import SIZE, make_embedding
from onelook.erasure.remainders import find_leftovers, find_remainders
from onelook.gallery import storage
from onelook.gallery.backup import write_backup
from onelook.gallery.copies import read_copies, record_copy
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.export import export_gallery


@pytest.fixture
def data(metadata: GalleryMetadata) -> GalleryData:
    """Return the gallery of Anna and Bob."""
    faces = tuple(
        EnrolledFace(person=name, photo="a.png", sha256=f"{i:064x}") for i, name in enumerate(("Anna", "Bob"))
    )
    rows = np.asarray([make_embedding(3), make_embedding(4)], np.float32).reshape(2, SIZE)
    return GalleryData(metadata, faces, rows)


def test_backups_exports_and_kept_galleries_with_the_person_are_named(
    tmp_path: Path, data: GalleryData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gallery = tmp_path / "gallery"
    storage.create(gallery, data)
    for name in ("with.zip", "without.zip", "moved.zip", "broken.zip"):
        record_copy(gallery, "backup", tmp_path / name)
    write_backup(tmp_path / "with.zip", data)
    write_backup(tmp_path / "without.zip", data.remove("Anna"))
    (tmp_path / "broken.zip").write_bytes(b"PK")
    record_copy(gallery, "export", tmp_path / "table")
    record_copy(gallery, "export", tmp_path / "table")
    export_gallery(tmp_path / "table", data)
    storage.restore(gallery, data.remove("Anna"), keep=True)
    found = {finding.path.name: finding for finding in find_remainders(gallery, "Anna")}
    kept = next(name for name in found if name.startswith("gallery-before-restore-"))
    assert set(found) == {"with.zip", "broken.zip", "table", kept}
    assert found["with.zip"].advice == f"`onelook forget 'Anna' --everywhere {tmp_path}` removes the person there"
    assert all(each.stat().st_mode & 0o077 == 0 for each in (tmp_path / kept, *(tmp_path / kept).iterdir()))
    (record,) = tmp_path.glob(".gallery.copies*")
    assert record.stat().st_mode & 0o777 == 0o600 and len(read_copies(gallery)) == 5
    record.write_bytes(b"\xff[")
    assert [finding.path.name for finding in find_remainders(gallery, "Anna")] == [kept]


def test_what_killed_commands_left_is_found(tmp_path: Path, data: GalleryData) -> None:
    gallery, elsewhere = tmp_path / "gallery", tmp_path / "elsewhere"
    storage.create(gallery, replace(data))
    elsewhere.mkdir()
    record_copy(gallery, "backup", elsewhere / "b.zip")
    assert find_leftovers(gallery) == []
    child = os.fork()
    if child == 0:  # killed inside a backup
        os.chdir(elsewhere)
        from onelook.files import atomic_file

        with atomic_file(Path("b.zip")) as temporary:
            temporary.write_bytes(b"secret")
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    (left,) = find_leftovers(gallery)
    assert left.read_bytes() == b"secret"
    write_backup(elsewhere / "b.zip", data)
    assert find_leftovers(gallery) == [] and not left.exists()
