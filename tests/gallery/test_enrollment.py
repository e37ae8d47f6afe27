"""Enrollment from the labeled scenes of the pipeline."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import read_image
from onelook.data.manifest import Face, Manifest, Scene
from onelook.errors import GalleryError
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.gallery.enrollment import add_batch, embed_labeled_scenes


def make_scene(path: Path, root: Path, faces: list[tuple[int, str | None]]) -> Scene:
    """Make a scene of a coded photo from the positions and names of its labeled faces."""
    labeled = tuple(
        Face(np.asarray([60 * place + 1, 5, 60 * place + 56, 65], np.float32), identity=name) for place, name in faces
    )
    return Scene(path.relative_to(root).as_posix(), 240, 70, "test", "enroll", labeled, "made", "MIT")


def test_labeled_faces_of_scenes_are_embedded(
    tmp_path: Path, predictor, metadata: GalleryMetadata, photo: Callable[..., Path]
) -> None:
    scenes = (
        make_scene(photo(7, 1), tmp_path, [(0, None), (1, "Anna")]),
        make_scene(photo(2, 7), tmp_path, [(0, "Bob")]),
        make_scene(photo(3), tmp_path, [(4, "Carl")]),  # the only face found lies elsewhere
        make_scene(photo(), tmp_path, [(0, "Dora")]),
    )
    rows, missed = embed_labeled_scenes(predictor, metadata.detect, Manifest(tmp_path, scenes), "test")
    assert [entry.person for entry in rows.faces] == ["Anna", "Bob"]
    expected = [predictor.predict([read_image(photo(*who))], metadata.detect)[0].embeddings[0] for who in ((1,), (2,))]
    np.testing.assert_array_equal(rows.embeddings, expected)
    assert missed == [photo(3), photo()]
    assert len(add_batch(empty_gallery(metadata), rows).faces) == 2


def test_a_split_without_detected_labels_is_refused(
    tmp_path: Path, predictor, metadata: GalleryMetadata, photo: Callable[..., Path]
) -> None:
    scenes = (make_scene(photo(), tmp_path, [(0, "Dora")]),)
    with pytest.raises(GalleryError, match="nobody can be enrolled"):
        embed_labeled_scenes(predictor, metadata.detect, Manifest(tmp_path, scenes), "test")
