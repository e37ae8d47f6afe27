"""Faces that are not somebody: what they withdraw, how long they are kept, and what `forget` removes."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.coded_faces import make_embedding
from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, Rejection
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.file_format import FORMAT, FORMAT_WITH_REJECTIONS, HEADER_FILE, serialize
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import Identification
from onelook.gallery.rejections import withdraw_rejected

Files = Callable[[Path], dict[str, bytes]]


def unit(*values: float) -> np.ndarray:
    row = np.zeros(4, np.float32)
    row[: len(values)] = values
    return row / np.linalg.norm(row)


@pytest.fixture
def data(metadata: GalleryMetadata) -> GalleryData:
    """Two people, at right angles."""
    faces = tuple(EnrolledFace(person=name, photo=name, sha256=f"{i:064x}") for i, name in enumerate(("Ada", "Bob")))
    return GalleryData(
        metadata.model_copy(update={"embedding_size": 4}), faces, np.stack([unit(1, 0, 0), unit(0, 1, 0)])
    )


@pytest.mark.parametrize(
    ("face", "is_withdrawn"),
    [
        pytest.param(unit(0.8, 0, 0.6), True, id="the rejected face itself"),
        pytest.param(unit(0.75, 0, 0.66), True, id="a face that resembles the rejected one more than Ada"),
        pytest.param(unit(0.99, 0, 0.1), False, id="a face that resembles Ada more than the rejected one"),
        pytest.param(unit(0.61, 0.2, -0.2), False, id="a face unlike the rejected one"),
    ],
)
def test_a_name_is_withdrawn_where_the_rejected_face_is_the_better_match(
    data: GalleryData, face: np.ndarray, is_withdrawn: bool
) -> None:
    rejected = data.reject("Ada", unit(0.8, 0, 0.6)).rejections
    found = Identification("Ada", float(face @ unit(1)), "Ada", 0.5, 0.9)
    (result,) = withdraw_rejected([found], face[None], rejected, 0.6)
    assert result == (replace(found, name=None, confidence=0.0, rejected=True) if is_withdrawn else found)
    (other,) = withdraw_rejected([replace(found, name="Bob", nearest="Bob")], face[None], rejected, 0.6)
    assert other.name == "Bob" and not other.rejected


def test_a_gallery_remembers_a_rejection_until_the_face_gets_the_name(
    tmp_path: Path, metadata: GalleryMetadata, predictor, photo, files: Files
) -> None:
    folder = tmp_path / "gallery"
    gallery = Gallery(FaissBackend(folder, metadata), predictor)
    gallery.enroll("Anna", [photo(3)])
    face = gallery.identify(photo(3, variant=1))[0]
    assert face.name == "Anna"
    gallery.reject("Anna", face.embedding)
    again = Gallery(FaissBackend(folder), predictor)
    withdrawn, still = again.identify(photo(3, variant=1))[0], again.identify(photo(3))[0]
    assert (withdrawn.name, withdrawn.nearest, withdrawn.rejected) == (None, "Anna", True)
    assert (still.name, still.rejected) == ("Anna", False)
    write_backup(tmp_path / "b.zip", storage.read(folder))
    assert read_backup(tmp_path / "b.zip").rejections == storage.read(folder).rejections != ()
    again.enroll("Anna", [photo(3, variant=1)])
    assert again.identify(photo(3, variant=1))[0].name == "Anna"
    assert storage.read(folder).rejections == ()
    again.reject("Anna", make_embedding(9))
    again.forget("Anna")
    assert not any(b"Anna" in content for content in files(folder).values())


def test_edits_carry_rejections_along(data: GalleryData) -> None:
    stranger = data.reject("Ada", unit(0, 0, 1)).reject("Bob", unit(0.9, 0.1, 0.3))
    assert [each.person for each in stranger.rename("Ada", "Eve").rejections] == ["Eve", "Bob"]
    assert [each.person for each in stranger.merge("Ada", "Bob").rejections] == ["Bob", "Bob"]
    # The second rejection is of a face that matches Ada: it is hers, and goes with her.
    assert stranger.remove("Ada").rejections == ()
    assert [each.person for each in stranger.remove("Bob").rejections] == ["Ada"]
    with pytest.raises(GalleryError, match="Eve: nobody of that name"):
        data.reject("Eve", unit(1))


def test_only_a_gallery_with_rejections_has_the_new_format(tmp_path: Path, data: GalleryData) -> None:
    def written_format(contents: GalleryData) -> str:
        return json.loads(serialize(contents)[HEADER_FILE])["format"]

    assert (written_format(data), written_format(data.reject("Ada", unit(1)))) == (FORMAT, FORMAT_WITH_REJECTIONS)
    short = Rejection(person="Ada", embedding=base64.b64encode(bytes(8)).decode())
    storage.create(tmp_path / "g", replace(data, rejections=(short,)))
    with pytest.raises(GalleryError, match="a rejection without an embedding"):
        storage.read(tmp_path / "g")
