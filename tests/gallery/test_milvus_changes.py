"""Changes in Milvus that are cut off before any call: the gallery answers as before or after, and is then finished."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("milvus_lite", reason="needs Milvus: pip install 'onelook[milvus]'")
pytest.importorskip("pymilvus", reason="needs Milvus: pip install 'onelook[milvus]'")

from helpers.milvus_twin import SIZE, TERMS, check_same_answers, rows_of, same_contents
from onelook.errors import GalleryError
from onelook.gallery.backend_factory import is_gallery
from onelook.gallery.data import GalleryData
from onelook.gallery.enrollment import Rows
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend import changes
from onelook.gallery.milvus_backend.backend import MilvusBackend
from onelook.gallery.milvus_backend.changes import take_turn
from onelook.gallery.milvus_backend.collections import Collections
from onelook.gallery.milvus_backend.migration import write_gallery

WRITES = ("upsert", "delete", "create_collection", "drop_collection")
STARTED = ["anna", "bob", "anna", "carl", "bob"]


class Killed(BaseException):
    """What stands for kill -9: nothing catches it, and nothing more is written."""


class Mortal:
    """A client of Milvus that dies before one of its writes and is then dead."""

    def __init__(self, client: Any, writes: int) -> None:
        self._client = client
        self._left = writes

    def __getattr__(self, name: str) -> Any:
        if name in WRITES:
            self._left -= 1
        if self._left < 0:
            raise Killed
        return getattr(self._client, name)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("milvus") / "people.db"


def started() -> GalleryData:
    rows = rows_of(STARTED)
    return GalleryData(TERMS, rows.entries, rows.embeddings)


def more() -> Rows:
    return rows_of(["bob", "dora", "bob"], 10)


def enlarged(contents: GalleryData, rows: Rows) -> GalleryData:
    return contents.adding(rows.entries, rows.embeddings)


CHANGES: dict[str, tuple[Callable[[MilvusBackend], object], Callable[[GalleryData], GalleryData]]] = {
    "add": (lambda engine: engine.add(more(), whole=True), lambda contents: enlarged(contents, more())),
    "rename": (lambda engine: engine.rename("bob", "rob"), lambda contents: contents.renamed("bob", "rob")),
    "merge": (lambda engine: engine.merge("bob", "anna"), lambda contents: contents.merged("bob", "anna")),
    "forget": (lambda engine: engine.forget("bob"), lambda contents: contents.without("bob")),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_killed_before_any_write(tmp_path: Path, database: Path, kind: str) -> None:
    change, edit = CHANGES[kind]
    before, after = started(), edit(started())
    outcomes = []
    address = MilvusAddress(str(database), kind)
    for writes in [*range(7), *range(7, 100, 3)]:  # after the change itself comes a copy, of many calls
        write_gallery(address, before, replace=True)
        engine = MilvusBackend(address)
        engine._tables._client = Mortal(engine._tables._client, writes)
        done = True
        try:
            change(engine)
        except Killed:
            done = False
        seen = MilvusBackend(address).people()
        whole = [FaissBackend(tmp_path, contents).people() for contents in (before, after)]
        if kind == "merge":  # both names for a moment, until the next change
            whole.append({"anna": 4, "bob": 2, "carl": 1})
        assert seen in whole, writes
        last = rows_of(["emil"], 20)
        finished = MilvusBackend(address)
        finished.add(last, whole=True)
        ends = [enlarged(contents, last) for contents in (before, after)]
        end = [same_contents(finished.contents(), contents) for contents in ends]
        assert any(end), writes
        check_same_answers(FaissBackend(tmp_path, ends[end.index(True)]), finished)
        outcomes.append(end.index(True))
        if done:
            break
    assert outcomes == sorted(outcomes), "once a change is written down it is finished"
    assert outcomes[0] == 0 and outcomes[-1] == 1
    client = Collections(address)._client
    assert len([name for name in client.list_collections() if name.startswith(f"onelook_{kind}")]) == 4


def test_a_new_gallery_killed_before_any_write_is_whole_or_not_there(database: Path) -> None:
    address = MilvusAddress(str(database), "new")
    absent = 0
    client = Collections(address, begin=True)._client
    for writes in range(100):
        for name in client.list_collections():
            if name == "onelook_new":
                client.drop_collection(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("onelook.gallery.milvus_backend.collections.connect", lambda _, w=writes: Mortal(client, w))
            try:
                write_gallery(address, started(), replace=False)
            except Killed:
                done = False
            else:
                done = True
        if is_gallery(address):
            assert same_contents(MilvusBackend(address).contents(), started())
        else:
            absent += 1
            assert not done
        if done:
            break
    assert absent >= 6
    assert len([name for name in client.list_collections() if name.startswith("onelook_new")]) == 4


def test_a_change_of_another_machine_is_waited_for(database: Path) -> None:
    address = MilvusAddress(str(database), "turns")
    write_gallery(address, started(), replace=True)
    engine = MilvusBackend(address)
    held = engine._held() or ""
    engine._tables.put(held, "changes", [{"id": "ab", "plan": "{}"}])
    tables = Collections(address)
    tables.address = MilvusAddress("http://elsewhere:19530")  # for all it knows
    entered = threading.Event()

    def change() -> None:
        with take_turn(tables, held):
            entered.set()

    thread = threading.Thread(target=change)
    thread.start()
    assert not entered.wait(0.5)
    engine._tables.remove(held, "changes", "id", ["ab"])
    thread.join()
    assert entered.is_set()
    assert list(tables.scan(held, "changes", ["plan"])) == []


def test_a_change_of_another_machine_that_stands_still_is_finished(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PATIENCE", 0.3)
    address = MilvusAddress(str(database), "stale")
    write_gallery(address, started(), replace=True)
    engine = MilvusBackend(address)
    held = engine._held() or ""
    bob = engine._person(held, "bob")
    engine._tables.put(held, "changes", [{"id": "ab", "plan": f'{{"forget": "{bob["id"]}"}}'}])
    tables = Collections(address)
    tables.address = MilvusAddress("http://elsewhere:19530")
    with take_turn(tables, held):
        assert engine.people() == {"anna": 2, "carl": 1}
    assert engine.count_photos() == 3


def test_refused_changes_leave_nothing_behind(database: Path) -> None:
    address = MilvusAddress(str(database), "refused")
    write_gallery(address, started(), replace=True)
    engine = MilvusBackend(address)
    for change in (
        lambda: engine.rename("bob", "anna"),
        lambda: engine.merge("bob", "bob"),
        lambda: engine.forget("nobody"),
        lambda: engine.add(rows_of(["eve"], 1), whole=True),
    ):
        with pytest.raises(GalleryError):
            change()
        assert same_contents(engine.contents(), started())
        assert list(engine._tables.scan(engine._held() or "", "changes", ["plan"])) == []
    assert engine.terms.embedding_size == SIZE
