"""Transactions in Milvus: a change killed before any call is undone, or redone by the next change."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("milvus_lite", reason="needs Milvus: pip install 'onelook[milvus]'")
pytest.importorskip("pymilvus", reason="needs Milvus: pip install 'onelook[milvus]'")

from helpers.gallery_backends import METADATA, SIZE, assert_equal_results, equal_data, make_batch_of
from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.backend_factory import is_gallery
from onelook.gallery.data import GalleryData
from onelook.gallery.enrollment import EnrollmentBatch
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend import collections, transactions
from onelook.gallery.milvus_backend.backend import MilvusBackend
from onelook.gallery.milvus_backend.collections import Collections, text_digest
from onelook.gallery.milvus_backend.connection import connect
from onelook.gallery.milvus_backend.migration import write_gallery
from onelook.gallery.milvus_backend.transactions import transaction

WRITES = ("upsert", "delete", "create_collection", "drop_collection")
STARTED = ["anna", "bob", "anna", "carl", "bob"]
BOBS_FIRST_PHOTO = {f"{1:064x}"}


class Killed(BaseException):
    """A kill -9: nothing catches it, and the client writes nothing after it."""


class KilledClient:
    """A Milvus client that is killed before one of its writes."""

    def __init__(self, client: Any, writes: int) -> None:
        self._client = client
        self._writes_left = writes

    def __getattr__(self, name: str) -> Any:
        if name in WRITES:
            self._writes_left -= 1
        if self._writes_left < 0:
            raise Killed
        return getattr(self._client, name)


@contextmanager
def killed_after(client: Any, writes: int) -> Iterator[None]:
    """Give collections that are opened in this context a client that is killed after some writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collections, "connect", lambda _: KilledClient(client, writes))
        yield


def current_version(opened: Collections) -> str:
    header = opened.read_header()
    assert header is not None
    return header[0]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("milvus") / "people.db"


def started() -> GalleryData:
    rows = make_batch_of(STARTED)
    return GalleryData(METADATA, rows.faces, rows.embeddings)


def more() -> EnrollmentBatch:
    return make_batch_of(["bob", "dora", "bob"], 10)


def enlarged(data: GalleryData, rows: EnrollmentBatch) -> GalleryData:
    return data.add(rows.faces, rows.embeddings)


CHANGES: dict[str, tuple[Callable[[MilvusBackend], object], Callable[[GalleryData], GalleryData]]] = {
    "add": (lambda backend: backend.add(more(), all_or_nothing=True), lambda data: enlarged(data, more())),
    "rename": (lambda backend: backend.rename("bob", "rob"), lambda data: data.rename("bob", "rob")),
    "merge": (lambda backend: backend.merge("bob", "anna"), lambda data: data.merge("bob", "anna")),
    "forget": (lambda backend: backend.forget("bob"), lambda data: data.remove("bob")),
    "remove": (
        lambda backend: backend.remove_photos("bob", BOBS_FIRST_PHOTO),
        lambda data: data.remove_photos("bob", BOBS_FIRST_PHOTO),
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_killed_before_any_write_is_undone_or_redone(tmp_path: Path, database: Path, kind: str) -> None:
    change, edit = CHANGES[kind]
    before, after = started(), edit(started())
    outcomes = []
    address = MilvusAddress(str(database), kind)
    client = connect(address)
    for writes in [*range(7), *range(7, 100, 3)]:  # after the change itself comes a copy, of many calls
        write_gallery(address, before, replace=True)
        with killed_after(client, writes):
            backend = MilvusBackend(address)
        done = True
        try:
            change(backend)
        except Killed:
            done = False
        seen = MilvusBackend(address).people()
        whole = [dict(sorted(Counter(data.identities).items())) for data in (before, after)]
        if kind == "merge":  # both names for a moment, until the next change
            whole.append({"anna": 4, "bob": 2, "carl": 1})
        assert seen in whole, writes
        last = make_batch_of(["emil"], 20)
        finished = MilvusBackend(address)
        finished.add(last, all_or_nothing=True)
        ends = [enlarged(data, last) for data in (before, after)]
        end = [equal_data(finished.read_data(), data) for data in ends]
        assert any(end), writes
        storage.create(tmp_path / f"{kind}-{writes}", ends[end.index(True)])
        assert_equal_results(FaissBackend(tmp_path / f"{kind}-{writes}"), finished)
        outcomes.append(end.index(True))
        if done:
            break
    assert outcomes == sorted(outcomes), "once a change is written down it is finished"
    assert outcomes[0] == 0 and outcomes[-1] == 1
    assert len([name for name in client.list_collections() if name.startswith(f"onelook_{kind}")]) == 4


def test_a_new_gallery_killed_before_any_write_is_complete_or_missing(database: Path) -> None:
    address = MilvusAddress(str(database), "new")
    absent = 0
    client = connect(address)
    for writes in range(100):
        for name in client.list_collections():
            if name == "onelook_new":
                client.drop_collection(name)
        with killed_after(client, writes):
            try:
                write_gallery(address, started(), replace=False)
            except Killed:
                done = False
            else:
                done = True
        if is_gallery(address):
            assert equal_data(MilvusBackend(address).read_data(), started())
        else:
            absent += 1
            assert not done
        if done:
            break
    assert absent >= 6
    assert len([name for name in client.list_collections() if name.startswith("onelook_new")]) == 4


def open_as_remote(address: MilvusAddress) -> Collections:
    """Open the collections as a process of another machine does, which cannot exclude other writers."""
    opened = Collections(address)
    opened.address = MilvusAddress("http://elsewhere:19530")
    return opened


def test_a_transaction_waits_for_the_lock_of_another_machine(database: Path) -> None:
    address = MilvusAddress(str(database), "turns")
    write_gallery(address, started(), replace=True)
    holder = Collections(address)
    version = current_version(holder)
    holder.upsert(version, "changes", [{"id": "ab", "plan": "{}"}])
    remote = open_as_remote(address)
    entered = threading.Event()

    def change() -> None:
        with transaction(remote, version):
            entered.set()

    thread = threading.Thread(target=change)
    thread.start()
    assert not entered.wait(0.5)
    holder.delete(version, "changes", "id", ["ab"])
    thread.join()
    assert entered.is_set()
    assert list(remote.scan(version, "changes", ["plan"])) == []


def test_a_change_of_another_machine_is_redone_after_the_lock_timeout(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.3)
    address = MilvusAddress(str(database), "stale")
    write_gallery(address, started(), replace=True)
    backend = MilvusBackend(address)
    holder = Collections(address)
    version = current_version(holder)
    (bob,) = holder.find(version, "people", "name_key", [text_digest("bob")], ["name"])
    holder.upsert(version, "changes", [{"id": "ab", "plan": f'{{"forget": "{bob["id"]}"}}'}])
    with transaction(open_as_remote(address), version):
        assert backend.people() == {"anna": 2, "carl": 1}
    assert backend.count_photos() == 3


def test_refused_changes_leave_nothing_behind(database: Path) -> None:
    address = MilvusAddress(str(database), "refused")
    write_gallery(address, started(), replace=True)
    backend = MilvusBackend(address)
    opened = Collections(address)
    for change in (
        lambda: backend.rename("bob", "anna"),
        lambda: backend.merge("bob", "bob"),
        lambda: backend.forget("nobody"),
        lambda: backend.add(make_batch_of(["eve"], 1), all_or_nothing=True),
    ):
        with pytest.raises(GalleryError):
            change()
        assert equal_data(backend.read_data(), started())
        assert list(opened.scan(current_version(opened), "changes", ["plan"])) == []
    assert backend.metadata.embedding_size == SIZE
