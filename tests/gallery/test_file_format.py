"""Serialization of a gallery: checksums and older formats."""

import hashlib
import json
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from onelook.errors import GalleryError
from onelook.face_quality import Quality
from onelook.gallery import storage
from onelook.gallery.backup import read_backup
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.faiss_library import faiss
from onelook.gallery.file_format import HEADER_FILE, checksum, deserialize, parse_header, serialize


@pytest.fixture
def data(metadata: GalleryMetadata) -> GalleryData:
    rows = np.random.default_rng(0).normal(size=(2, metadata.embedding_size))
    entries = (
        EnrolledFace(
            person="Çağla", photo="a.jpg", sha256="1" * 64, quality=Quality(score=0.1, size=1 / 3, sharpness=1e-9)
        ),
        EnrolledFace(person="Bob", photo="b.jpg", sha256="2" * 64, thumbnail="/9j/4AAQ+w=="),
    )
    return GalleryData(metadata, entries, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def test_deserialize_inverts_serialize(data: GalleryData) -> None:
    files = serialize(data)
    assert list(files)[-1] == HEADER_FILE
    again = deserialize(Path("g"), parse_header(Path("g") / HEADER_FILE, files[HEADER_FILE]), files.__getitem__)
    assert (again.metadata, again.faces) == (data.metadata, data.faces)
    np.testing.assert_array_equal(again.embeddings, data.embeddings)


def test_header_checksum_detects_every_flipped_bit(data: GalleryData) -> None:
    whole = serialize(data)[HEADER_FILE]
    said = json.loads(whole)
    refused = 0
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        try:
            parse_header(Path("g") / HEADER_FILE, bytes(data))
        except GalleryError as error:
            refused += 1
            assert "\n" not in str(error)
        else:  # a space became another blank
            assert json.loads(data) == said
    assert refused > 0.9 * 8 * len(whole)


def write_first_format(folder: Path, data: GalleryData) -> None:
    """A gallery as it was before photos were measured: no quality, and no checksum in gallery.json."""
    files = serialize(data)
    tree = json.loads(files.pop(HEADER_FILE)) | {"format": "onelook gallery 1"}
    rows = json.loads(files.pop(tree["people_file"]))["rows"]
    people = json.dumps(
        {"rows": [{k: v for k, v in row.items() if k not in ("quality", "thumbnail")} for row in rows]}
    ).encode()
    tree["people_file"] = f"people.{hashlib.sha256(people).hexdigest()}.json"
    del tree["checksum"]
    folder.mkdir()
    for name, data in (files | {tree["people_file"]: people, HEADER_FILE: json.dumps(tree).encode()}).items():
        (folder / name).write_bytes(data)


def test_format_1_is_read_and_the_next_change_upgrades_it(tmp_path: Path, data: GalleryData) -> None:
    write_first_format(tmp_path / "g", data)
    old = storage.read(tmp_path / "g")
    assert old.identities == ["Çağla", "Bob"]
    assert [(entry.quality, entry.weight) for entry in old.faces] == [(None, 1.0)] * 2
    np.testing.assert_array_equal(old.embeddings, data.embeddings)
    storage.update(tmp_path / "g", lambda c: c.remove("Bob"))
    assert {path.name for path in (tmp_path / "g").iterdir()} == {"gallery.sqlite", "swept.json"}
    assert storage.read(tmp_path / "g").identities == ["Çağla"]


def test_format_2_is_read(data: GalleryData) -> None:
    files = serialize(data)
    tree = json.loads(files.pop(HEADER_FILE)) | {"format": "onelook gallery 2"}
    rows = json.loads(files.pop(tree["people_file"]))["rows"]
    for row in rows:
        del row["thumbnail"]
    people = json.dumps({"rows": rows}).encode()
    tree["people_file"] = f"people.{hashlib.sha256(people).hexdigest()}.json"
    files[tree["people_file"]] = people
    tree["checksum"] = checksum(tree)
    again = deserialize(Path("g"), parse_header(Path("g") / HEADER_FILE, json.dumps(tree).encode()), files.__getitem__)
    assert again.faces == (data.faces[0], data.faces[1].model_copy(update={"thumbnail": None}))
    tree["faces"] = 3
    with pytest.raises(GalleryError, match="checksum does not match"):
        parse_header(Path("g") / HEADER_FILE, json.dumps(tree).encode())


def test_a_thumbnail_that_is_not_base64_is_refused(data: GalleryData) -> None:
    for text in ("", 'x" onerror="', "a b", "=a", "data:text/html,x"):
        with pytest.raises(ValidationError):
            EnrolledFace(person="Bob", photo="b.jpg", sha256="2" * 64, thumbnail=text)


def pack(
    data: GalleryData, index: bytes | None = None, people: bytes | None = None, **header: object
) -> dict[str, bytes]:
    """Serialize a gallery with other content of its files, whose checksums are right."""
    files = serialize(data)
    tree = json.loads(files.pop(HEADER_FILE)) | header
    for key, kind, content in (("index_file", "faiss", index), ("people_file", "json", people)):
        if content is not None:
            del files[tree[key]]
            tree[key] = f"{key.split('_')[0]}.{hashlib.sha256(content).hexdigest()}.{kind}"
            files[tree[key]] = content
    tree["checksum"] = checksum(tree)
    return files | {HEADER_FILE: json.dumps(tree).encode()}


def refusal(files: dict[str, bytes]) -> str:
    """Return the message of a refused gallery: one line, in seconds and without a memory that its files do not fill."""
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(GalleryError) as caught:
        deserialize(Path("g"), parse_header(Path("g") / HEADER_FILE, files[HEADER_FILE]), files.__getitem__)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 500
    assert time.process_time() - began < 5 and peak < 100e6
    return str(caught.value)


def test_the_embeddings_are_those_that_faiss_reads(data: GalleryData) -> None:
    (index,) = (content for name, content in serialize(data).items() if name.startswith("index"))
    owner = faiss.deserialize_index(np.frombuffer(index, np.uint8))
    again = faiss.downcast_index(owner)
    assert isinstance(again, faiss.IndexFlat)
    np.testing.assert_array_equal(again.reconstruct_n(0, again.ntotal), data.embeddings)


def test_an_index_of_another_kind_or_size_is_refused(data: GalleryData) -> None:
    (index,) = (content for name, content in serialize(data).items() if name.startswith("index"))
    size = data.metadata.embedding_size
    others = [faiss.IndexFlatL2(size), faiss.IndexHNSWFlat(size, 4), faiss.IndexFlatIP(size + 1)]
    damaged = [faiss.serialize_index(each).tobytes() for each in others]
    start = len(index) - data.embeddings.nbytes
    longer = index[: start - 8] + (3 << 28).to_bytes(8, "little") + index[start:]
    for content in (*damaged, longer, b"", index[:20], index[:-4], index + bytes(4 * size)):
        assert "not a flat inner-product index" in refusal(pack(data, index=content))
    for count in (2**31, 2**70):
        metadata = json.loads(serialize(data)[HEADER_FILE])["terms"] | {"embedding_size": count}
        assert "not a flat inner-product index" in refusal(pack(data, terms=metadata))


@pytest.mark.parametrize("value", [0.0, 1e30, np.inf, np.nan])
def test_an_embedding_that_is_no_unit_vector_is_refused_without_a_warning(data: GalleryData, value: float) -> None:
    (index,) = (content for name, content in serialize(data).items() if name.startswith("index"))
    rows = data.embeddings.copy()
    rows[0, :2] = value
    with warnings.catch_warnings(action="error"):
        assert "not of length 1" in refusal(pack(data, index=index[: -rows.nbytes] + rows.tobytes()))


def test_deep_and_endless_documents_are_refused(data: GalleryData) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    whole = serialize(data)[HEADER_FILE]
    for header in (deep, b'{"format":' + deep + b"}", b"null", b"[]", b"\xff", b'{"format": 1e999}'):
        assert "damaged" in refusal({HEADER_FILE: header})
    assert "its format is" in refusal({HEADER_FILE: b'{"format": "%s"}' % (b"x" * 10**6)})
    assert "\\n" in refusal({HEADER_FILE: whole.replace(b'"people"', b'"a\\nb": 1, "people"')})
    for people in (b'{"rows":' + deep + b"}", b'{"rows":[' + b"{}," * 200_000 + b"{}]}", b'{"rows":[],"a\\nb":1}'):
        assert "damaged" in refusal(pack(data, people=people))


def test_the_checksum_covers_everything_but_itself(data: GalleryData) -> None:
    tree = json.loads(serialize(data)[HEADER_FILE])
    assert checksum(tree) == tree["checksum"] == checksum({**tree, "checksum": "x"})
    for key in set(tree) - {"checksum"}:
        assert checksum({**tree, key: "x"}) != tree["checksum"]


def test_gallery_json_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """The keys `terms`, `rows`, `unknown` and `deviation` are those of earlier versions."""
    index = (
        b"IxFI"  # flat inner-product index: dimension, count, two unused fields, trained, metric
        + (2).to_bytes(4, "little")
        + (1).to_bytes(8, "little")
        + 2 * (1 << 20).to_bytes(8, "little")
        + b"\x01"
        + (0).to_bytes(4, "little")
        + (2).to_bytes(8, "little")
        + np.asarray([0.6, 0.8], "<f4").tobytes()
    )
    people = (
        b'{"rows": [{"person": "Anna", "photo": "a.jpg", "sha256": "%s", '
        b'"quality": {"score": 0.9, "size": 100.0, "sharpness": 1.0}, "thumbnail": null}]}' % (b"1" * 64)
    )
    names = [f"index.{hashlib.sha256(index).hexdigest()}.faiss", f"people.{hashlib.sha256(people).hexdigest()}.json"]
    header = {
        "faces": 1,
        "format": "onelook gallery 3",
        "index_file": names[0],
        "people": 1,
        "people_file": names[1],
        "terms": {
            "detect": {"longest_side": 1280, "nms": 0.4, "score": 0.5},
            "embedding_size": 2,
            "fingerprint": "f" * 64,
            "managed": False,
            "target_fpir": 0.01,
            "threshold": 0.504,
            "unknown": {"deviation": 0.14, "intercept": -3.6, "mean": 0.09, "slope": 1.05},
        },
    }
    header["checksum"] = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    folder = tmp_path / "g"
    folder.mkdir()
    (folder / names[0]).write_bytes(index)
    (folder / names[1]).write_bytes(people)
    (folder / "gallery.json").write_text(json.dumps(header))
    data = storage.read(folder)
    assert data.identities == ["Anna"]
    np.testing.assert_allclose(data.embeddings, [[0.6, 0.8]])
    assert data.metadata.impostor_model is not None
    assert data.metadata.impostor_model.std == 0.14
    assert data.metadata.threshold == 0.504
    with zipfile.ZipFile(tmp_path / "backup.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    storage.restore(tmp_path / "restored", read_backup(tmp_path / "backup.zip"))
    assert storage.read(tmp_path / "restored").faces == data.faces
