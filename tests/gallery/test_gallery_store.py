"""The gallery folder: what is written is read, what is damaged is refused, a change is whole."""

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
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.file_format import checksum
from onelook.settings import DetectSettings

Files = Callable[[Path], dict[str, bytes]]


def make_rows(count: int, size: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_entry(person: str, number: int) -> Entry:
    return Entry(person=person, photo=f"{person}/{number}.jpg", sha256=f"{number:064x}")


@pytest.fixture
def contents(terms: GalleryMetadata) -> GalleryData:
    entries = tuple(make_entry(person, i) for i, person in enumerate(["Anna", "Çağla", "Anna", "王小明"]))
    return GalleryData(terms, entries, make_rows(4, terms.embedding_size, 1))


def test_reads_what_was_written(tmp_path: Path, contents: GalleryData) -> None:
    storage.create(tmp_path / "g", contents)
    again = storage.read(tmp_path / "g")
    assert again.terms == contents.terms
    assert again.entries == contents.entries
    np.testing.assert_array_equal(again.embeddings, contents.embeddings)


def test_faiss_itself_reads_the_index(tmp_path: Path, contents: GalleryData) -> None:
    storage.create(tmp_path / "g", contents)
    index = faiss.read_index(str(next((tmp_path / "g").glob("index.*.faiss"))))
    similarities, rows = index.search(contents.embeddings, 1)
    np.testing.assert_array_equal(rows[:, 0], range(4))
    np.testing.assert_allclose(similarities[:, 0], 1, atol=1e-6)


def test_an_empty_gallery_is_a_gallery(tmp_path: Path, terms: GalleryMetadata) -> None:
    storage.create(tmp_path / "g", empty_gallery(terms))
    assert storage.read(tmp_path / "g").people() == {}


def test_same_contents_same_bytes(tmp_path: Path, contents: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "a", contents)
    storage.create(tmp_path / "b", contents)
    before = files(tmp_path / "b")
    storage.create(tmp_path / "b", contents, replace=True)
    assert files(tmp_path / "a") == before == files(tmp_path / "b")


def test_replacing_leaves_nothing_of_the_old(tmp_path: Path, contents: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "a", contents.without("Anna"))
    storage.create(tmp_path / "b", contents)
    storage.create(tmp_path / "b", contents.without("Anna"), replace=True)
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
def test_any_changes_keep_the_rows_of_a_plain_list(steps: list[tuple[str, str, int]]) -> None:
    detect = {"score": 0.5, "nms": 0.4, "longest_side": 640}
    terms = GalleryMetadata(
        fingerprint="f",
        embedding_size=4,
        threshold=0.5,
        target_fpir=0.1,
        detect=DetectSettings(**detect),
        managed=False,
    )
    twin: list[tuple[Entry, bytes]] = []
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "g"
        storage.create(folder, empty_gallery(terms))
        for number, (kind, person, count) in enumerate(steps):
            if kind == "add":
                entries = tuple(make_entry(person, 10 * number + i) for i in range(count))
                rows = make_rows(count, 4, number)
                storage.change(folder, lambda c, e=entries, r=rows: c.adding(e, r))
                twin += [(entry, row.tobytes()) for entry, row in zip(entries, rows, strict=True)]
            elif any(entry.person == person for entry, _ in twin):
                storage.change(folder, lambda c, p=person: c.without(p))
                twin = [(entry, row) for entry, row in twin if entry.person != person]
            else:
                with pytest.raises(GalleryError, match="nobody of that name"):
                    storage.change(folder, lambda c, p=person: c.without(p))
            now = storage.read(folder)
            assert [(e, r.tobytes()) for e, r in zip(now.entries, now.embeddings, strict=True)] == twin
            assert len(list(folder.iterdir())) == 3


def test_the_forgotten_are_in_no_file(tmp_path: Path, contents: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "g", contents)
    abandoned = tmp_path / "g" / f".people.{'0' * 64}.json.x1y2"  # what a kill while writing leaves
    abandoned.write_text("Anna", encoding="utf-8")
    storage.change(tmp_path / "g", lambda c: c.without("Anna"))
    everything = b"".join(files(tmp_path / "g").values())
    assert b"Anna" not in everything
    for row in contents.embeddings[[0, 2]]:
        assert row.tobytes() not in everything
    assert contents.embeddings[1].tobytes() in everything


def test_foreign_files_in_the_folder_are_left_alone(tmp_path: Path, contents: GalleryData) -> None:
    storage.create(tmp_path / "g", contents)
    (tmp_path / "g" / "index.html").write_text("mine")
    storage.change(tmp_path / "g", lambda c: c.without("Anna"))
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
    tmp_path: Path, contents: GalleryData, pattern: str, damage: Callable[[Path], None]
) -> None:
    storage.create(tmp_path / "g", contents)
    path = next((tmp_path / "g").glob(pattern))
    damage(path)
    with pytest.raises(GalleryError) as caught:
        storage.read(tmp_path / "g")
    assert path.name in str(caught.value) or str(tmp_path / "g") in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(GalleryError):
        storage.change(tmp_path / "g", lambda c: c.without("Anna"))


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("format",), "onelook gallery 4", "format"),
        (("faces",), 5, "inconsistent"),
        (("people",), 4, "inconsistent"),
        (("terms", "embedding_size"), 8, "8 dimensions"),
        (("terms", "threshold"), "high", "threshold"),
        (("terms", "detect", "nms"), 2.0, "nms"),
        (("terms", "extra"), 1, "extra"),
        (("index_file",), "../../etc/passwd", "index_file"),
    ],
)
def test_an_inconsistent_description_is_refused(
    tmp_path: Path, contents: GalleryData, keys: tuple[str, ...], value: object, said: str
) -> None:
    storage.create(tmp_path / "g", contents)
    path = tmp_path / "g" / "gallery.json"
    tree = json.loads(path.read_text())
    section = tree
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    path.write_text(json.dumps(tree | {"checksum": checksum(tree)}))
    with pytest.raises(GalleryError, match=said):
        storage.read(tmp_path / "g")


def test_an_index_of_another_kind_is_refused(tmp_path: Path, contents: GalleryData) -> None:
    size = contents.terms.embedding_size
    distances = faiss.IndexFlatL2(size)
    distances.add(contents.embeddings)
    long_rows = faiss.IndexFlatIP(size)
    long_rows.add(2 * contents.embeddings)
    missing = faiss.IndexFlatIP(size)
    missing.add(np.full((4, size), np.nan, np.float32))
    for number, (index, said) in enumerate([(distances, "inner"), (long_rows, "length 1"), (missing, "length 1")]):
        folder = tmp_path / str(number)
        storage.create(folder, contents)
        data = faiss.serialize_index(index).tobytes()
        name = f"index.{hashlib.sha256(data).hexdigest()}.faiss"
        (folder / name).write_bytes(data)
        tree = json.loads((folder / "gallery.json").read_text()) | {"index_file": name}
        (folder / "gallery.json").write_text(json.dumps(tree | {"checksum": checksum(tree)}))
        with pytest.raises(GalleryError, match=said):
            storage.read(folder)


def test_a_gallery_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no such gallery"):
        storage.read(tmp_path / "none")
    with pytest.raises(GalleryError, match="no such gallery"):
        storage.change(tmp_path / "deep" / "none", lambda c: c)
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_is_there_is_written_over(tmp_path: Path, contents: GalleryData) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"precious")
    (tmp_path / "notes").write_text("precious")
    for name in ("photos", "notes"):
        for replace in (False, True):
            with pytest.raises(GalleryError):
                storage.create(tmp_path / name, contents, replace=replace)
    assert (tmp_path / "photos" / "holiday.jpg").read_bytes() == b"precious"
    assert (tmp_path / "notes").read_text() == "precious"


def test_the_pipelines_gallery_is_not_changed_by_hand(tmp_path: Path, contents: GalleryData, files: Files) -> None:
    managed = GalleryData(contents.terms.model_copy(update={"managed": True}), contents.entries, contents.embeddings)
    storage.create(tmp_path / "g", managed)
    before = files(tmp_path / "g")
    with pytest.raises(GalleryError, match="pipeline"):
        storage.change(tmp_path / "g", lambda c: c.without("Anna"))
    assert files(tmp_path / "g") == before


def test_a_gallery_reached_by_a_link_is_changed_where_it_lies(tmp_path: Path, contents: GalleryData) -> None:
    storage.create(tmp_path / "real", contents)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    storage.change(tmp_path / "link", lambda c: c.without("Anna"))
    assert (tmp_path / "link").is_symlink()
    assert "Anna" not in storage.read(tmp_path / "real").people()


def test_a_copied_gallery_is_the_same_gallery(tmp_path: Path, contents: GalleryData) -> None:
    storage.create(tmp_path / "g", contents)
    shutil.copytree(tmp_path / "g", tmp_path / "elsewhere")
    assert storage.read(tmp_path / "elsewhere").entries == contents.entries


def keep_changing(folder: Path, count: int) -> None:
    for number in range(count):
        entry = make_entry("guest", 1000 + number)
        storage.change(folder, lambda c, e=entry: c.adding((e,), c.embeddings[:1]))
        storage.change(folder, lambda c: c.without("guest"))


def test_readers_see_whole_states_while_another_process_changes(tmp_path: Path, contents: GalleryData) -> None:
    folder = tmp_path / "g"
    storage.create(folder, contents)
    writer = multiprocessing.get_context("spawn").Process(target=keep_changing, args=(folder, 25))
    writer.start()
    reads = {4: 0, 5: 0}
    while writer.is_alive():
        now = storage.read(folder)
        reads[len(now.entries)] += 1
        np.testing.assert_array_equal(now.embeddings[:4], contents.embeddings)
    writer.join()
    assert writer.exitcode == 0
    assert min(reads.values()) > 0
    assert storage.read(folder).entries == contents.entries
