import torch

from onelook.losses.detection import BACKGROUND, IGNORED, match_anchors
from onelook.settings import MatchThresholds

THRESHOLDS = MatchThresholds(positive=0.5, negative=0.3)


def test_anchors_are_faces_ignored_or_background_by_iou() -> None:
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
    matches = match_anchors(anchors[None], faces[None], THRESHOLDS)
    assert matches.faces.tolist() == [[0, 0, IGNORED, BACKGROUND, BACKGROUND]]


def test_every_face_is_matched_to_its_best_anchor_however_small_the_iou() -> None:
    faces = torch.tensor([[0.0, 0.0, 10.0, 10.0], [48.0, 48.0, 52.0, 52.0]])
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [40.0, 40.0, 60.0, 60.0]])
    assert match_anchors(anchors[None], faces[None], THRESHOLDS).faces[0].tolist() == [0, 1]


def test_a_face_without_an_overlapping_anchor_is_not_matched() -> None:
    faces = torch.tensor([[100.0, 100.0, 110.0, 110.0]])
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    assert match_anchors(anchors[None], faces[None], THRESHOLDS).faces[0].tolist() == [BACKGROUND]


def test_an_image_without_faces_is_background() -> None:
    match = match_anchors(torch.rand(1, 7, 4), torch.zeros(1, 1, 4), THRESHOLDS)
    assert match.faces[0].tolist() == [BACKGROUND] * 7
    assert not match.positive.any() and match.negative.all()


def test_background_on_an_ignored_box_is_ignored() -> None:
    ignored = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    anchors = torch.tensor(
        [
            [0.0, 0.0, 10.0, 8.0],  # IoU 0.8
            [0.0, 0.0, 10.0, 4.0],  # IoU 0.4
            [4.0, 4.0, 6.0, 6.0],  # IoU 0.04, but inside
            [-5.0, 0.0, 5.0, 10.0],  # half inside, IoU 1/3
            [-6.0, 0.0, 4.0, 10.0],  # less than half inside, IoU 1/4
            [0.0, 0.0, 30.0, 30.0],  # a ninth inside
            [50.0, 50.0, 60.0, 60.0],
        ]
    )
    expected = [IGNORED] * 4 + [BACKGROUND] * 3
    assert match_anchors(anchors[None], torch.zeros(1, 1, 4), THRESHOLDS, ignored[None]).faces[0].tolist() == expected
    # A face at the same position is matched all the same.
    faces = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    assert match_anchors(anchors[None], faces[None], THRESHOLDS, ignored[None]).faces[0].tolist() == [0, *expected[1:]]


def test_padding_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    anchors, faces = (torch.rand(n, 2, 2, generator=generator).sort(dim=1).values.flatten(1) for n in (60, 5))
    anchors, padded = anchors[None], torch.cat([faces, torch.zeros(3, 4)])[None]
    expected = match_anchors(anchors, faces[None], THRESHOLDS).faces
    assert match_anchors(anchors, padded, THRESHOLDS, torch.zeros(1, 2, 4)).faces.equal(expected)
