import numpy as np
import pytest

from helpers.coded_faces import make_embedding
from helpers.page_faces import make_face
from onelook.face_quality import Quality
from onelook.gallery.data import GalleryMetadata
from onelook.page.photos import Face
from onelook.page.unknown_groups import UnknownFaces, group_unknown_faces
from onelook.settings import DetectSettings

GOOD = Quality(score=1, size=100, sharpness=1)
METADATA = GalleryMetadata(
    fingerprint="f",
    embedding_size=16,
    threshold=0.6,
    target_fpir=0.01,
    detect=DetectSettings(score=0.5, nms=0.4, longest_side=640),
    managed=False,
)


def sighting(key: str, identity: int, variant: int = 0, quality: Quality = GOOD, **changes: object) -> Face:
    return make_face(key, embedding=make_embedding(identity, variant), quality=quality, **changes)


def keys(unknown: UnknownFaces) -> tuple[list[list[str]], list[str], int]:
    groups = [[face.key for face in group.faces] for group in unknown.groups]
    return groups, [face.key for face in unknown.singles], unknown.poor


def test_faces_of_one_unknown_person_are_grouped_the_best_first() -> None:
    smaller = GOOD.model_copy(update={"size": 40.0})
    faces = [
        sighting("a1", 4, 1, smaller),
        sighting("b1", 8),
        sighting("a2", 4, 2),
        sighting("a3", 4, 3),
        sighting("c1", 9),
        sighting("b2", 8, 1),
        sighting("known", 4, 4, name="Ada"),
        sighting("poor", 4, 5, GOOD.model_copy(update={"sharpness": 0.0})),
        sighting("unsure", 4, 6, GOOD.model_copy(update={"score": 0.9})),
    ]
    assert keys(group_unknown_faces(faces, METADATA)) == ([["a2", "a3", "a1"], ["b1", "b2"]], ["c1"], 2)
    assert keys(group_unknown_faces(faces[6:], METADATA)) == ([], [], 2)


def test_the_same_face_of_a_photo_that_was_opened_twice_counts_once() -> None:
    assert keys(group_unknown_faces([sighting("a", 1), sighting("a", 1)], METADATA)) == ([], ["a"], 0)


@pytest.mark.parametrize(
    ("second", "suggestion"),
    [({"confidence": 0.1}, "Ada"), ({"confidence": 0.0, "rejected": True}, None), ({"confidence": 0.9}, "Ada")],
)
def test_a_group_suggests_a_likely_person_that_no_face_was_rejected_as(
    second: dict[str, object], suggestion: str | None
) -> None:
    likely = {"nearest": "Ada", "similarity": 0.4}
    faces = [sighting("a", 1, confidence=0.7, **likely), sighting("b", 1, 1, **(likely | second))]
    (group,) = group_unknown_faces(faces, METADATA).groups
    assert group.suggestion == suggestion
    assert float(np.dot(*[face.pending.embedding for face in faces])) > 0.6
