"""The record of who was forgotten, and restoring without them."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.file_format import HEADER_FILE, deserialize, parse_header, serialize
from onelook.gallery.restoring import LeftOut, find_forgotten, leave_out, unite_records

DAY = date(2026, 11, 1)


@pytest.fixture
def data(metadata: GalleryMetadata) -> GalleryData:
    rows = np.random.default_rng(0).normal(size=(5, metadata.embedding_size))
    faces = tuple(
        EnrolledFace(person=name, photo=f"{i}.jpg", sha256=f"{i:064x}")
        for i, name in enumerate(["Ada", "Grace", "Ada", "Grace", "Ada"])
    )
    return GalleryData(metadata, faces, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def test_the_record_survives_and_holds_no_name(data: GalleryData) -> None:
    files = serialize(data.forget("Grace", DAY))
    content = b"".join(files.values())
    assert b"Grace" not in content and f"{1:064x}".encode() not in content
    header = parse_header(Path(HEADER_FILE), files[HEADER_FILE])
    again = deserialize(Path(), header, files.__getitem__)
    assert find_forgotten(data, again.forgotten) == (LeftOut("Grace", 2, 2, "2026-11-01"),)


def test_two_galleries_have_different_digests(data: GalleryData) -> None:
    first, second = (data.forget("Grace", DAY).forgotten[0] for _ in range(2))
    assert first.name != second.name and not set(first.photos) & set(second.photos)


def test_restoring_leaves_out_names_and_photos_that_were_forgotten(data: GalleryData) -> None:
    now = data.rename("Grace", "Hopper").forget("Hopper", DAY)
    found = find_forgotten(data, now.forgotten)
    assert found == (LeftOut("Grace", 2, 2, "2026-11-01"),)
    assert leave_out(data, found, now.forgotten).identities == ["Ada"] * 3
    # One photo was enrolled under the wrong name at the time of the backup.
    now = data.remove("Grace").add(data.faces[1:2], data.embeddings[1:2]).forget("Grace", DAY)
    wrong = data.remove("Grace").add((data.faces[1].model_copy(update={"person": "Ada"}),), data.embeddings[1:2])
    found = find_forgotten(wrong, now.forgotten)
    assert [str(each) for each in found] == ["Ada: forgotten on 2026-11-01, 1 of 4 photos"]
    assert leave_out(wrong, found, now.forgotten).identities == ["Ada"] * 3


def test_somebody_who_is_enrolled_again_leaves_the_record(data: GalleryData) -> None:
    now = data.forget("Grace", DAY).forget("Ada", DAY)
    assert len(now.forgotten) == 2
    again = now.add(data.faces[1:2], data.embeddings[1:2])
    assert [each.person for each in find_forgotten(data, again.forgotten)] == ["Ada"]
    assert unite_records(data, now.forgotten).forgotten == ()
    assert unite_records(data.remove("Ada"), now.forgotten).forgotten == now.forgotten[1:]
