"""The bytes of a gallery: whatever changes in its description is found, and an old gallery is read."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata
from onelook.gallery.face_quality import Quality
from onelook.gallery.file_format import FORMAT, HEADER, checksum, pack, parse_header, unpack


@pytest.fixture
def contents(terms: GalleryMetadata) -> GalleryData:
    rows = np.random.default_rng(0).normal(size=(2, terms.embedding_size))
    entries = (
        Entry(person="Çağla", photo="a.jpg", sha256="1" * 64, quality=Quality(score=0.1, size=1 / 3, sharpness=1e-9)),
        Entry(person="Bob", photo="b.jpg", sha256="2" * 64, thumbnail="/9j/4AAQ+w=="),
    )
    return GalleryData(terms, entries, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def test_what_is_packed_is_unpacked(contents: GalleryData) -> None:
    files = pack(contents)
    assert list(files)[-1] == HEADER
    again = unpack(Path("g"), parse_header(Path("g") / HEADER, files[HEADER]), files.__getitem__)
    assert (again.terms, again.entries) == (contents.terms, contents.entries)
    np.testing.assert_array_equal(again.embeddings, contents.embeddings)


def test_any_changed_bit_of_the_description_is_found_or_says_the_same(contents: GalleryData) -> None:
    whole = pack(contents)[HEADER]
    said = json.loads(whole)
    refused = 0
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        try:
            parse_header(Path("g") / HEADER, bytes(data))
        except GalleryError as error:
            refused += 1
            assert "\n" not in str(error)
        else:  # a space became another blank
            assert json.loads(data) == said
    assert refused > 0.9 * 8 * len(whole)


def write_first_format(folder: Path, contents: GalleryData) -> None:
    """A gallery as it was before photos were measured: no quality, and no checksum in gallery.json."""
    files = pack(contents)
    tree = json.loads(files.pop(HEADER)) | {"format": "onelook gallery 1"}
    rows = json.loads(files.pop(tree["people_file"]))["rows"]
    people = json.dumps(
        {"rows": [{k: v for k, v in row.items() if k not in ("quality", "thumbnail")} for row in rows]}
    ).encode()
    tree["people_file"] = f"people.{hashlib.sha256(people).hexdigest()}.json"
    del tree["checksum"]
    folder.mkdir()
    for name, data in (files | {tree["people_file"]: people, HEADER: json.dumps(tree).encode()}).items():
        (folder / name).write_bytes(data)


def test_a_gallery_of_the_first_format_is_read_and_its_next_change_writes_this_one(
    tmp_path: Path, contents: GalleryData
) -> None:
    write_first_format(tmp_path / "g", contents)
    old = storage.read(tmp_path / "g")
    assert old.owners == ["Çağla", "Bob"]
    assert [(entry.quality, entry.weight) for entry in old.entries] == [(None, 1.0)] * 2
    np.testing.assert_array_equal(old.embeddings, contents.embeddings)
    storage.change(tmp_path / "g", lambda c: c.without("Bob"))
    assert json.loads((tmp_path / "g" / HEADER).read_text())["format"] == FORMAT
    assert len(list((tmp_path / "g").iterdir())) == 3
    assert storage.read(tmp_path / "g").owners == ["Çağla"]


def test_a_gallery_of_the_second_format_is_read(contents: GalleryData) -> None:
    files = pack(contents)
    tree = json.loads(files.pop(HEADER)) | {"format": "onelook gallery 2"}
    rows = json.loads(files.pop(tree["people_file"]))["rows"]
    for row in rows:
        del row["thumbnail"]
    people = json.dumps({"rows": rows}).encode()
    tree["people_file"] = f"people.{hashlib.sha256(people).hexdigest()}.json"
    files[tree["people_file"]] = people
    tree["checksum"] = checksum(tree)
    again = unpack(Path("g"), parse_header(Path("g") / HEADER, json.dumps(tree).encode()), files.__getitem__)
    assert again.entries == (contents.entries[0], contents.entries[1].model_copy(update={"thumbnail": None}))
    tree["faces"] = 3
    with pytest.raises(GalleryError, match="does not say what was written"):
        parse_header(Path("g") / HEADER, json.dumps(tree).encode())


def test_a_thumbnail_is_base64_and_nothing_that_a_page_could_mistake(contents: GalleryData) -> None:
    for text in ("", 'x" onerror="', "a b", "=a", "data:text/html,x"):
        with pytest.raises(ValidationError):
            Entry(person="Bob", photo="b.jpg", sha256="2" * 64, thumbnail=text)


def test_the_checksum_covers_everything_but_itself(contents: GalleryData) -> None:
    tree = json.loads(pack(contents)[HEADER])
    assert checksum(tree) == tree["checksum"] == checksum({**tree, "checksum": "x"})
    for key in set(tree) - {"checksum"}:
        assert checksum({**tree, key: "x"}) != tree["checksum"]
