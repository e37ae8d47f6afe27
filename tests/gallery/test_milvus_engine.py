"""A gallery in milvus-lite against the folder: the same answers after the same changes, the same refusals."""

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

from helpers.milvus_twin import SIZE, TERMS, answers, check_same_answers, engines, rows_of, same_contents
from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.backend_factory import is_gallery, open_backend, restore_gallery, write_gallery
from onelook.gallery.data import Entry, GalleryData
from onelook.gallery.enrollment import Rows
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery, open_gallery
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.backend import MilvusBackend
from onelook.gallery.milvus_backend.migration import write_gallery
from onelook.gallery.names import check_name
from onelook.open_set import ImpostorModel

Photo = Callable[..., Path]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One milvus-lite for all of these tests; a gallery in it has the name of its test's folder."""
    return tmp_path_factory.mktemp("milvus") / "people.db"


def test_any_changes_leave_both_with_the_same_answers(database: Path) -> None:
    step = st.tuples(st.sampled_from(["add", "add", "rename", "merge", "forget"]), st.integers(0, 5), st.integers(0, 5))

    @given(st.lists(step, min_size=3, max_size=7))
    @settings(max_examples=4)
    def check(steps: list[tuple[str, int, int]]) -> None:
        with tempfile.TemporaryDirectory(dir=database.parent, prefix="g") as scratch:
            folder, milvus = engines(Path(scratch, Path(scratch).name.replace("-", "_")), database)
            for number, (kind, one, other) in enumerate([("add", 0, 5), *steps]):
                outcomes = [carry_out(engine, kind, one, other, 3 * number) for engine in (folder, milvus)]
                assert outcomes[0] == outcomes[1]
            check_same_answers(folder, milvus)

    check()


def carry_out(engine, kind: str, one: int, other: int, start: int) -> object:
    """What a change returns, or says as it is refused."""
    try:
        if kind == "add":
            # Photo numbers overlap from one call to the next, so that some are known and some are somebody else's.
            sorting = engine.add(rows_of([f"p{one}", f"p{other}", f"p{one}", f"p{other}"], start), whole=False)
            return sorting
        if kind == "forget":
            return engine.forget(f"p{one}")
        return (engine.rename if kind == "rename" else engine.merge)(f"p{one}", f"p{other}")
    except GalleryError as error:
        return str(error)


NAME = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from("\"'\\%{}[] "), max_size=40
)


def test_any_name_is_kept_found_renamed_and_forgotten(tmp_path: Path, database: Path) -> None:
    _, milvus = engines(tmp_path / "names", database)
    milvus.add(rows_of(["somebody"]), whole=True)

    @given(NAME)
    @settings(max_examples=12)
    def check(text: str) -> None:
        try:
            name = check_name(text)
        except GalleryError:
            return
        milvus.add(rows_of([name], 1), whole=True)
        assert milvus.known([name, "somebody", name + "x"]) == {name: 1, "somebody": 1}
        assert milvus.owners([f"{1:064x}"]) == {f"{1:064x}": name}
        assert answers(milvus, rows_of([name], 1).embeddings)[0][0][0] == name
        with pytest.raises(GalleryError, match="enrolled already"):
            milvus.rename("somebody", name)
        milvus._tables.remove(
            milvus._held() or "", "photos", "id", [f"{1:064x}"]
        )  # cheaper than forgetting thirty times
        person = milvus._person(milvus._held() or "", name)
        milvus._tables.remove(milvus._held() or "", "people", "id", [person["id"]])
        assert milvus.people() == {"somebody": 1}

    check()


def test_more_people_than_a_step_takes_and_more_photos_than_a_page(tmp_path: Path, database: Path) -> None:
    folder, milvus = engines(tmp_path / "many", database)
    rows = rows_of([f"p{i % 150:03}" for i in range(150)] + ["crowd"] * 600)
    for engine in (folder, milvus):
        assert len(engine.add(rows, whole=True).fresh) == 750
    check_same_answers(folder, milvus)
    probes = np.tile(rows.embeddings[:100], (3, 1))  # more than one message of probes
    assert answers(folder, probes)[0] == answers(milvus, probes)[0]


def same_face(names: list[str]) -> Rows:
    """Rows of equal templates to the last bit."""
    entries = tuple(Entry(person=name, photo="", sha256=f"{i:064x}") for i, name in enumerate(names))
    return Rows(entries, np.eye(1, SIZE, dtype=np.float32).repeat(len(names), axis=0))


def test_every_change_and_nothing_else_is_another_revision(tmp_path: Path, database: Path) -> None:
    changes = [
        lambda engine: engine.add(rows_of(["anna", "bob"], 0), whole=True),
        lambda engine: engine.add(rows_of(["anna"], 5), whole=True),
        lambda engine: engine.rename("bob", "carl"),
        lambda engine: engine.merge("anna", "carl"),
        lambda engine: engine.forget("carl"),
    ]
    for engine in engines(tmp_path, database):
        seen = [engine.revision()]
        for change in changes:
            change(engine)
            seen.append(engine.revision())
            engine.search(np.ones((1, SIZE), np.float32))
            assert engine.revision() == seen[-1] == open_backend(engine.place).revision()
        # The last change leaves nobody, as before the first.
        assert len(set(seen[:-1])) == len(seen) - 1


def test_of_the_equally_similar_the_same_are_always_named(tmp_path: Path, database: Path) -> None:
    _, milvus = engines(tmp_path / "ties", database)
    milvus.add(same_face(["b", "a", "c"]), whole=True)
    assert answers(milvus, same_face(["?"]).embeddings)[0] == [["a", "b"]]


def test_everybody_alike_is_pointed_out_however_many(tmp_path: Path, database: Path) -> None:
    folder, milvus = engines(tmp_path / "alike", database)
    for engine in (folder, milvus):
        engine.add(same_face([f"p{i:02}" for i in range(40)]), whole=True)
        assert len(engine.find_duplicates(["p07"])) == 39
    assert milvus.find_duplicates(["p07", "p08"]) == folder.find_duplicates(["p07", "p08"])


def test_a_gallery_answers_as_a_folder_does(tmp_path: Path, database: Path, photo: Photo, looker, terms) -> None:
    law = ImpostorModel(mean=0.0, deviation=0.2, intercept=-1.0, slope=0.8)
    terms = terms.model_copy(update={"unknown": law})
    address = MilvusAddress(str(database), "whole")
    galleries = [
        Gallery(FaissBackend(tmp_path / "folder", GalleryData(terms, (), np.empty((0, 16), np.float32))), looker),
        Gallery(MilvusBackend(address, terms), looker),
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
    assert same_contents(storage.read(tmp_path / "folder"), MilvusBackend(address).contents())


def test_another_model_is_refused(database: Path, photo: Photo, looker, terms) -> None:
    address = MilvusAddress(str(database), "model")
    gallery = Gallery(MilvusBackend(address, terms), looker)
    gallery.enroll("Anna", [photo(1)])
    with pytest.raises(GalleryError, match="made with model aaaaaaaaaaaa, this is model bbbbbbbbbbbb"):
        Gallery(MilvusBackend(address), type(looker)("b" * 64))
    other = terms.model_copy(update={"fingerprint": "b" * 64})
    write_gallery(address, GalleryData(other, (), np.empty((0, 16), np.float32)), replace=True)
    with pytest.raises(GalleryError, match="two models"):
        gallery.enroll("Bob", [photo(2)])


def test_moved_there_and_back_it_is_the_same_to_the_bit(tmp_path: Path, database: Path) -> None:
    rows = rows_of(["b", "a", "b", "c"])
    plain = Entry(person="old", photo='a "quoted" \\ path', sha256="f" * 64)
    contents = GalleryData(
        TERMS, (*rows.entries, plain), np.concatenate([rows.embeddings, np.eye(1, SIZE, dtype=np.float32)])
    )
    address = MilvusAddress(str(database), "moved")
    assert not is_gallery(address)
    write_gallery(
        address, GalleryData(TERMS.model_copy(update={"managed": True}), contents.entries, contents.embeddings)
    )
    assert is_gallery(address)
    with pytest.raises(GalleryError, match="already holds"):
        write_gallery(address, contents)
    write_gallery(tmp_path / "back", open_backend(address).contents())
    assert same_contents(storage.read(tmp_path / "back"), contents)
    restore_gallery(address, contents.without("b"))
    assert same_contents(open_backend(address).contents(), contents.without("b"))
    twice = GalleryData(TERMS, (plain, plain), contents.embeddings[:2])
    with pytest.raises(GalleryError, match="enrolled twice"):
        write_gallery(MilvusAddress(str(database), "twice"), twice)
    assert not is_gallery(MilvusAddress(str(database), "twice"))


def test_who_is_forgotten_is_gone_from_the_files(tmp_path: Path) -> None:
    database = tmp_path / "own.db"
    milvus = MilvusBackend(MilvusAddress(str(database)), TERMS)
    milvus.add(rows_of(["Anna Karenina", "Bob", "Anna Karenina"]), whole=True)
    milvus._tables.compact(milvus._held() or "")  # written out of its log into its files
    assert holds(database, b"Karenina")
    milvus.forget("Anna Karenina")
    assert not holds(database, b"Karenina")
    assert not holds(database, f"{2:064x}".encode())
    assert holds(database, b"Bob")
    milvus.rename("Bob", "Robert")
    assert not holds(database, b"Bob")


def holds(folder: Path, text: bytes) -> bool:
    """Whether a file has the text; tables are read as such, for they are compressed."""
    import pyarrow.parquet

    for path in folder.rglob("*"):
        if path.is_file():
            if text in path.read_bytes():
                return True
            if path.suffix == ".parquet" and text.decode() in str(pyarrow.parquet.read_table(path).to_pylist()):
                return True
    return False


def test_what_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    absent = tmp_path / "none.db"
    with pytest.raises(GalleryError, match="no such gallery"):
        open_gallery(f"milvus:{absent}")
    assert not is_gallery(MilvusAddress(str(absent)))
    assert not absent.exists()


def test_a_server_that_cannot_be_reached_is_told_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONELOOK_MILVUS_TOKEN", "root:secret")
    with pytest.raises(GalleryError, match="cannot be opened") as caught:
        open_backend(MilvusAddress("http://127.0.0.1:1"))
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_database_that_another_has_open_is_told_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "busy.db"
    database.mkdir()
    with (database / "LOCK").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(GalleryError, match="another process has it open"):
            MilvusBackend(MilvusAddress(str(database)), TERMS)
    assert capfd.readouterr().err == ""
