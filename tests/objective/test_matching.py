import torch

from onelook.objective.matching import BACKGROUND, IGNORED, match_anchors
from onelook.settings import Thresholds

SETTINGS = Thresholds(positive=0.5, negative=0.3)


def test_anchors_are_faces_background_or_ignored_by_overlap() -> None:
    faces = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    anchors = torch.tensor(
        [
            [0.0, 0.0, 10.0, 10.0],  # 1
            [0.0, 0.0, 10.0, 6.0],  # 0.6
            [0.0, 0.0, 10.0, 4.0],  # 0.4
            [0.0, 0.0, 10.0, 2.0],  # 0.2
            [50.0, 50.0, 60.0, 60.0],  # 0
        ]
    )
    assert match_anchors(anchors, faces, SETTINGS).faces.tolist() == [0, 0, IGNORED, BACKGROUND, BACKGROUND]


def test_every_face_gets_its_best_anchor_however_small_the_overlap() -> None:
    faces = torch.tensor([[0.0, 0.0, 10.0, 10.0], [48.0, 48.0, 52.0, 52.0]])
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [40.0, 40.0, 60.0, 60.0]])
    assert match_anchors(anchors, faces, SETTINGS).faces.tolist() == [0, 1]


def test_a_face_that_no_anchor_touches_takes_none() -> None:
    faces = torch.tensor([[100.0, 100.0, 110.0, 110.0]])
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    assert match_anchors(anchors, faces, SETTINGS).faces.tolist() == [BACKGROUND]


def test_an_image_without_faces_is_all_background() -> None:
    match = match_anchors(torch.rand(7, 4), torch.zeros(0, 4), SETTINGS)
    assert match.faces.tolist() == [BACKGROUND] * 7
    assert not match.positive.any() and match.negative.all()
