"""The gallery folder: read, refusal of damage, atomic changes."""

import hashlib
import json
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.file_format import checksum
from onelook.settings import DetectSettings

Files = Callable[[Path], dict[str, bytes]]


def make_rows(count: int, size: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_entry(person: str, number: int) -> EnrolledFace:
    return EnrolledFace(person=person, photo=f"{person}/{number}.jpg", sha256=f"{number:064x}")


@pytest.fixture
def data(metadata: GalleryMetadata) -> GalleryData:
    entries = tuple(make_entry(person, i) for i, person in enumerate(["Anna", "Çağla", "Anna", "王小明"]))
    return GalleryData(metadata, entries, make_rows(4, metadata.embedding_size, 1))


def test_read_inverts_create(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    again = storage.read(tmp_path / "g")
    assert again.metadata == data.metadata
    assert again.faces == data.faces
    np.testing.assert_array_equal(again.embeddings, data.embeddings)


def test_faiss_reads_the_index_file(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    index = faiss.read_index(str(next((tmp_path / "g").glob("index.*.faiss"))))
    similarities, rows = index.search(data.embeddings, 1)
    np.testing.assert_array_equal(rows[:, 0], range(4))
    np.testing.assert_allclose(similarities[:, 0], 1, atol=1e-6)


def test_an_empty_gallery_is_readable(tmp_path: Path, metadata: GalleryMetadata) -> None:
    storage.create(tmp_path / "g", empty_gallery(metadata))
    assert storage.read(tmp_path / "g").faces_by_person() == {}


def test_equal_data_gives_equal_bytes(tmp_path: Path, data: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "a", data)
    storage.create(tmp_path / "b", data)
    before = files(tmp_path / "b")
    storage.create(tmp_path / "b", data, replace=True)
    assert files(tmp_path / "a") == before == files(tmp_path / "b")


def test_replace_removes_the_old_content(tmp_path: Path, data: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "a", data.remove("Anna"))
    storage.create(tmp_path / "b", data)
    storage.create(tmp_path / "b", data.remove("Anna"), replace=True)
    assert files(tmp_path / "a") == files(tmp_path / "b")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("abc"), st.integers(1, 3)),
            st.tuples(st.just("forget"), st.sampled_from("abc"), st.just(0)),
        ),
        max_size=8,
    )
)
def test_random_changes_equal_those_of_a_plain_list(steps: list[tuple[str, str, int]]) -> None:
    detect = {"score": 0.5, "nms": 0.4, "longest_side": 640}
    metadata = GalleryMetadata(
        fingerprint="f",
        embedding_size=4,
        threshold=0.5,
        target_fpir=0.1,
        detect=DetectSettings(**detect),
        managed=False,
    )
    twin: list[tuple[EnrolledFace, bytes]] = []
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "g"
        storage.create(folder, empty_gallery(metadata))
        for number, (kind, person, count) in enumerate(steps):
            if kind == "add":
                entries = tuple(make_entry(person, 10 * number + i) for i in range(count))
                rows = make_rows(count, 4, number)
                storage.update(folder, lambda c, e=entries, r=rows: c.add(e, r))
                twin += [(entry, row.tobytes()) for entry, row in zip(entries, rows, strict=True)]
            elif any(entry.person == person for entry, _ in twin):
                storage.update(folder, lambda c, p=person: c.remove(p))
                twin = [(entry, row) for entry, row in twin if entry.person != person]
            else:
                with pytest.raises(GalleryError, match="nobody of that name"):
                    storage.update(folder, lambda c, p=person: c.remove(p))
            now = storage.read(folder)
            assert [(e, r.tobytes()) for e, r in zip(now.faces, now.embeddings, strict=True)] == twin
            assert len(list(folder.iterdir())) == 3


def test_removed_people_are_in_no_file(tmp_path: Path, data: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "g", data)
    abandoned = tmp_path / "g" / f".people.{'0' * 64}.json.x1y2"  # what a kill while writing leaves
    abandoned.write_text("Anna", encoding="utf-8")
    storage.update(tmp_path / "g", lambda c: c.remove("Anna"))
    everything = b"".join(files(tmp_path / "g").values())
    assert b"Anna" not in everything
    for row in data.embeddings[[0, 2]]:
        assert row.tobytes() not in everything
    assert data.embeddings[1].tobytes() in everything


def test_foreign_files_in_the_folder_are_kept(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    (tmp_path / "g" / "index.html").write_text("mine")
    storage.update(tmp_path / "g", lambda c: c.remove("Anna"))
    assert (tmp_path / "g" / "index.html").read_text() == "mine"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def clear(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(b"\xff\x00" * 50)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncate, flip, clear, noise, make_folder, Path.unlink])
@pytest.mark.parametrize("pattern", ["gallery.json", "index.*", "people.*"])
def test_a_damaged_file_is_refused_in_one_line(
    tmp_path: Path, data: GalleryData, pattern: str, damage: Callable[[Path], None]
) -> None:
    storage.create(tmp_path / "g", data)
    path = next((tmp_path / "g").glob(pattern))
    damage(path)
    with pytest.raises(GalleryError) as caught:
        storage.read(tmp_path / "g")
    assert path.name in str(caught.value) or str(tmp_path / "g") in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(GalleryError):
        storage.update(tmp_path / "g", lambda c: c.remove("Anna"))


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("format",), "onelook gallery 7", "format"),
        (("faces",), 5, "inconsistent"),
        (("people",), 4, "inconsistent"),
        (("terms", "embedding_size"), 8, "8 dimensions"),
        (("terms", "threshold"), "high", "threshold"),
        (("terms", "detect", "nms"), 2.0, "nms"),
        (("terms", "extra"), 1, "extra"),
        (("index_file",), "../../etc/passwd", "index_file"),
    ],
)
def test_an_inconsistent_header_is_refused(
    tmp_path: Path, data: GalleryData, keys: tuple[str, ...], value: object, said: str
) -> None:
    storage.create(tmp_path / "g", data)
    path = tmp_path / "g" / "gallery.json"
    tree = json.loads(path.read_text())
    section = tree
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    path.write_text(json.dumps(tree | {"checksum": checksum(tree)}))
    with pytest.raises(GalleryError, match=said):
        storage.read(tmp_path / "g")


def test_an_index_of_another_kind_is_refused(tmp_path: Path, data: GalleryData) -> None:
    size = data.metadata.embedding_size
    distances = faiss.IndexFlatL2(size)
    distances.add(data.embeddings)
    long_rows = faiss.IndexFlatIP(size)
    long_rows.add(2 * data.embeddings)
    missing = faiss.IndexFlatIP(size)
    missing.add(np.full((4, size), np.nan, np.float32))
    for number, (index, said) in enumerate([(distances, "inner"), (long_rows, "length 1"), (missing, "length 1")]):
        folder = tmp_path / str(number)
        storage.create(folder, data)
        content = faiss.serialize_index(index).tobytes()
        name = f"index.{hashlib.sha256(content).hexdigest()}.faiss"
        (folder / name).write_bytes(content)
        tree = json.loads((folder / "gallery.json").read_text()) | {"index_file": name}
        (folder / "gallery.json").write_text(json.dumps(tree | {"checksum": checksum(tree)}))
        with pytest.raises(GalleryError, match=said):
            storage.read(folder)


def test_a_missing_gallery_is_reported(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no such gallery"):
        storage.read(tmp_path / "none")
    with pytest.raises(GalleryError, match="no such gallery"):
        storage.update(tmp_path / "deep" / "none", lambda c: c)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_overwritten(tmp_path: Path, data: GalleryData) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"precious")
    (tmp_path / "notes").write_text("precious")
    for name in ("photos", "notes"):
        for replace in (False, True):
            with pytest.raises(GalleryError):
                storage.create(tmp_path / name, data, replace=replace)
    assert (tmp_path / "photos" / "holiday.jpg").read_bytes() == b"precious"
    assert (tmp_path / "notes").read_text() == "precious"


def test_a_managed_gallery_cannot_be_changed(tmp_path: Path, data: GalleryData, files: Files) -> None:
    managed = GalleryData(data.metadata.model_copy(update={"managed": True}), data.faces, data.embeddings)
    storage.create(tmp_path / "g", managed)
    before = files(tmp_path / "g")
    with pytest.raises(GalleryError, match="pipeline"):
        storage.update(tmp_path / "g", lambda c: c.remove("Anna"))
    assert files(tmp_path / "g") == before


def test_a_symlinked_gallery_is_changed_at_its_target(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "real", data)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    storage.update(tmp_path / "link", lambda c: c.remove("Anna"))
    assert (tmp_path / "link").is_symlink()
    assert "Anna" not in storage.read(tmp_path / "real").faces_by_person()


def test_a_copied_folder_is_readable(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    shutil.copytree(tmp_path / "g", tmp_path / "elsewhere")
    assert storage.read(tmp_path / "elsewhere").faces == data.faces


def keep_changing(folder: Path, count: int) -> None:
    for number in range(count):
        entry = make_entry("guest", 1000 + number)
        storage.update(folder, lambda c, e=entry: c.add((e,), c.embeddings[:1]))
        storage.update(folder, lambda c: c.remove("guest"))


def test_readers_find_consistent_states_during_changes(tmp_path: Path, data: GalleryData) -> None:
    folder = tmp_path / "g"
    storage.create(folder, data)
    writer = multiprocessing.get_context("spawn").Process(target=keep_changing, args=(folder, 25))
    writer.start()
    reads = {4: 0, 5: 0}
    while writer.is_alive():
        now = storage.read(folder)
        reads[len(now.faces)] += 1
        np.testing.assert_array_equal(now.embeddings[:4], data.embeddings)
    writer.join()
    assert writer.exitcode == 0
    assert min(reads.values()) > 0
    assert storage.read(folder).faces == data.faces
