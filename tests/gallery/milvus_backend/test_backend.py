"""MilvusBackend against FaissBackend: equal results and equal refusals after equal changes."""

import fcntl
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("milvus_lite", reason="needs Milvus: pip install 'onelook[milvus]'")
pytest.importorskip("pymilvus", reason="needs Milvus: pip install 'onelook[milvus]'")

from helpers.coded_faces import CodedPredictor
from helpers.gallery_backends import (
    METADATA,
    SIZE,
    answers,
    assert_equal_results,
    equal_data,
    make_backends,
    make_batch_of,
)
from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.backend_factory import is_gallery, open_backend, restore_gallery, write_gallery
from onelook.gallery.data import EnrolledFace, GalleryData
from onelook.gallery.enrollment import EnrollmentBatch
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery, open_gallery
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend import migration
from onelook.gallery.milvus_backend.backend import MilvusBackend
from onelook.gallery.milvus_backend.collections import Collections, text_digest
from onelook.names import normalize_name
from onelook.open_set import ImpostorModel

Photo = Callable[..., Path]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the milvus-lite database of all tests here; each test has a gallery of its own in it."""
    return tmp_path_factory.mktemp("milvus") / "people.db"


def test_random_changes_give_the_same_results_as_a_folder(database: Path) -> None:
    step = st.tuples(
        st.sampled_from(["add", "add", "rename", "merge", "remove", "forget"]), st.integers(0, 5), st.integers(0, 5)
    )

    @given(st.lists(step, min_size=3, max_size=7))
    @settings(max_examples=4)
    def check(steps: list[tuple[str, int, int]]) -> None:
        with tempfile.TemporaryDirectory(dir=database.parent, prefix="g") as scratch:
            folder, milvus = make_backends(Path(scratch, Path(scratch).name.replace("-", "_")), database)
            for number, (kind, one, other) in enumerate([("add", 0, 5), *steps]):
                outcomes = [carry_out(backend, kind, one, other, 3 * number) for backend in (folder, milvus)]
                assert outcomes[0] == outcomes[1]
            assert_equal_results(folder, milvus)

    check()


def carry_out(backend, kind: str, one: int, other: int, start: int) -> object:
    """Apply a change and return its result, or its error message."""
    try:
        if kind == "add":
            # Photo numbers overlap from one call to the next, so that some are known and some are somebody else's.
            sorting = backend.add(
                make_batch_of([f"p{one}", f"p{other}", f"p{one}", f"p{other}"], start), all_or_nothing=False
            )
            return sorting
        if kind == "forget":
            return backend.forget(f"p{one}")
        if kind == "remove":
            return backend.remove_photos(f"p{one}", {face.sha256 for face in backend.faces_of(f"p{one}")[:other]})
        return (backend.rename if kind == "rename" else backend.merge)(f"p{one}", f"p{other}")
    except GalleryError as error:
        return str(error)


NAME = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from("\"'\\%{}[] "), max_size=40
)


def test_any_name_can_be_enrolled_found_renamed_and_removed(tmp_path: Path, database: Path) -> None:
    _, milvus = make_backends(tmp_path / "names", database)
    milvus.add(make_batch_of(["somebody"]), all_or_nothing=True)
    collections = Collections(milvus.location)

    @given(NAME)
    @settings(max_examples=12)
    def check(text: str) -> None:
        try:
            name = normalize_name(text)
        except GalleryError:
            return
        milvus.add(make_batch_of([name], 1), all_or_nothing=True)
        assert milvus.photo_counts([name, "somebody", name + "x"]) == {name: 1, "somebody": 1}
        assert milvus.find_enrolled([f"{1:064x}"]) == {f"{1:064x}": name}
        assert answers(milvus, make_batch_of([name], 1).embeddings)[0][0][0] == name
        with pytest.raises(GalleryError, match="enrolled already"):
            milvus.rename("somebody", name)
        # Deleting the records is faster than forgetting, which copies the database.
        version, _ = collections.read_header() or ("", None)
        collections.delete(version, "photos", "id", [f"{1:064x}"])
        collections.delete(version, "people", "name_key", [text_digest(name)])
        assert milvus.people() == {"somebody": 1}

    check()


def test_enrollment_beyond_one_journal_record_and_one_query_page(tmp_path: Path, database: Path) -> None:
    folder, milvus = make_backends(tmp_path / "many", database)
    rows = make_batch_of([f"p{i % 150:03}" for i in range(150)] + ["crowd"] * 600)
    for backend in (folder, milvus):
        assert len(backend.add(rows, all_or_nothing=True).new) == 750
    assert_equal_results(folder, milvus)
    probes = np.tile(rows.embeddings[:100], (3, 1))  # more than one message of probes
    assert answers(folder, probes)[0] == answers(milvus, probes)[0]


def same_face(names: list[str]) -> EnrollmentBatch:
    """Make a batch of people with bit-identical templates."""
    entries = tuple(EnrolledFace(person=name, photo="", sha256=f"{i:064x}") for i, name in enumerate(names))
    return EnrollmentBatch(entries, np.eye(1, SIZE, dtype=np.float32).repeat(len(names), axis=0))


def test_revision_changes_with_every_change_and_nothing_else(tmp_path: Path, database: Path) -> None:
    changes = [
        lambda backend: backend.add(make_batch_of(["anna", "bob"], 0), all_or_nothing=True),
        lambda backend: backend.add(make_batch_of(["anna"], 5), all_or_nothing=True),
        lambda backend: backend.rename("bob", "carl"),
        lambda backend: backend.remove_photos("anna", {f"{5:064x}"}),
        lambda backend: backend.merge("anna", "carl"),
        lambda backend: backend.forget("carl"),
    ]
    for backend in make_backends(tmp_path, database):
        seen = [backend.revision()]
        for change in changes:
            change(backend)
            seen.append(backend.revision())
            backend.search(np.ones((1, SIZE), np.float32))
            assert backend.revision() == seen[-1] == open_backend(backend.location).revision()
        # The last change leaves nobody, as before the first.
        assert len(set(seen[:-1])) == len(seen) - 1


def test_ties_are_resolved_by_name(tmp_path: Path, database: Path) -> None:
    _, milvus = make_backends(tmp_path / "ties", database)
    milvus.add(same_face(["b", "a", "c"]), all_or_nothing=True)
    assert answers(milvus, same_face(["?"]).embeddings)[0] == [["a", "b"]]


def test_all_duplicates_are_found_however_many(tmp_path: Path, database: Path) -> None:
    folder, milvus = make_backends(tmp_path / "alike", database)
    for backend in (folder, milvus):
        backend.add(same_face([f"p{i:02}" for i in range(40)]), all_or_nothing=True)
        assert len(backend.find_duplicates(["p07"])) == 39
    assert milvus.find_duplicates(["p07", "p08"]) == folder.find_duplicates(["p07", "p08"])


def test_gallery_gives_the_same_results_as_a_folder(
    tmp_path: Path, database: Path, photo: Photo, predictor, metadata
) -> None:
    law = ImpostorModel(mean=0.0, std=0.2, intercept=-1.0, slope=0.8)
    metadata = metadata.model_copy(update={"impostor_model": law})
    address = MilvusAddress(str(database), "whole")
    galleries = [
        Gallery(FaissBackend(tmp_path / "folder", metadata), predictor),
        Gallery(MilvusBackend(address, metadata), predictor),
    ]
    for gallery in galleries:
        assert gallery.identify(photo(1))[0].nearest is None
        for person in range(1, 5):
            gallery.enroll(f"p{person}", [photo(person), photo(person, variant=1)])
        with pytest.raises(GalleryError, match="enrolled as p1"):
            gallery.enroll("Eve", [photo(9), photo(1)])
        assert gallery.enroll("p1", [photo(1), photo(1, variant=2)]).total == 3
        gallery.rename("p2", "Bob")
        gallery.merge("p3", "Bob")
        gallery.forget("p4")
    one, other = galleries
    assert one.people() == other.people() == {"Bob": 4, "p1": 3}
    assert one.threshold == other.threshold == law.threshold(0.01, 2)
    shown = photo(2, 9, 1, variant=5)
    for mine, others in zip(one.identify(shown), other.identify(shown), strict=True):
        assert (mine.name, mine.nearest) == (others.name, others.nearest)
        for figure in ("similarity", "margin", "confidence"):
            assert getattr(mine, figure) == pytest.approx(getattr(others, figure), abs=1e-6)
    assert equal_data(storage.read(tmp_path / "folder"), MilvusBackend(address).read_data())


def test_another_model_is_refused(database: Path, photo: Photo, predictor, metadata) -> None:
    address = MilvusAddress(str(database), "model")
    gallery = Gallery(MilvusBackend(address, metadata), predictor)
    gallery.enroll("Anna", [photo(1)])
    with pytest.raises(GalleryError, match="made with model aaaaaaaaaaaa, this is model bbbbbbbbbbbb"):
        Gallery(MilvusBackend(address), CodedPredictor("b" * 64))
    other = metadata.model_copy(update={"fingerprint": "b" * 64})
    migration.write_gallery(address, GalleryData(other, (), np.empty((0, 16), np.float32)), replace=True)
    with pytest.raises(GalleryError, match="two models"):
        gallery.enroll("Bob", [photo(2)])


def test_a_copy_to_milvus_and_back_is_bit_identical(tmp_path: Path, database: Path) -> None:
    rows = make_batch_of(["b", "a", "b", "c"])
    plain = EnrolledFace(person="old", photo='a "quoted" \\ path', sha256="f" * 64)
    data = GalleryData(
        METADATA, (*rows.faces, plain), np.concatenate([rows.embeddings, np.eye(1, SIZE, dtype=np.float32)])
    )
    address = MilvusAddress(str(database), "moved")
    assert not is_gallery(address)
    write_gallery(address, GalleryData(METADATA.model_copy(update={"managed": True}), data.faces, data.embeddings))
    assert is_gallery(address)
    with pytest.raises(GalleryError, match="already holds"):
        write_gallery(address, data)
    write_gallery(tmp_path / "back", open_backend(address).read_data())
    assert equal_data(storage.read(tmp_path / "back"), data)
    restore_gallery(address, data.remove("b"))
    assert equal_data(open_backend(address).read_data(), data.remove("b"))
    twice = GalleryData(METADATA, (plain, plain), data.embeddings[:2])
    with pytest.raises(GalleryError, match="enrolled twice"):
        write_gallery(MilvusAddress(str(database), "twice"), twice)
    assert not is_gallery(MilvusAddress(str(database), "twice"))


def test_removed_people_are_purged_from_the_files(tmp_path: Path) -> None:
    database = tmp_path / "own.db"
    milvus = MilvusBackend(MilvusAddress(str(database)), METADATA)
    milvus.add(make_batch_of(["Anna Karenina", "Bob", "Anna Karenina"]), all_or_nothing=True)
    collections = Collections(milvus.location)
    version, _ = collections.read_header() or ("", None)
    collections.compact(version)  # from the log of milvus-lite into its data files
    assert holds(database, b"Karenina")
    milvus.forget("Anna Karenina")
    assert not holds(database, b"Karenina")
    assert not holds(database, f"{2:064x}".encode())
    assert holds(database, b"Bob")
    milvus.rename("Bob", "Robert")
    assert not holds(database, b"Bob")


def holds(folder: Path, text: bytes) -> bool:
    """Return whether a file contains the text; Parquet tables are decompressed first."""
    import pyarrow.parquet

    for path in folder.rglob("*"):
        if path.is_file():
            if text in path.read_bytes():
                return True
            if path.suffix == ".parquet" and text.decode() in str(pyarrow.parquet.read_table(path).to_pylist()):
                return True
    return False


def test_a_missing_database_is_reported_and_not_created(tmp_path: Path) -> None:
    absent = tmp_path / "none.db"
    with pytest.raises(GalleryError, match="no such gallery"):
        open_gallery(f"milvus:{absent}")
    assert not is_gallery(MilvusAddress(str(absent)))
    assert not absent.exists()


def test_an_unreachable_server_is_reported_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONELOOK_MILVUS_TOKEN", "root:secret")
    with pytest.raises(GalleryError, match="cannot be opened") as caught:
        open_backend(MilvusAddress("http://127.0.0.1:1"))
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_locked_database_is_reported_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    database = tmp_path / "busy.db"
    database.mkdir()
    with (database / "LOCK").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(GalleryError, match="another process has it open"):
            MilvusBackend(MilvusAddress(str(database)), METADATA)
    assert capfd.readouterr().err == ""
