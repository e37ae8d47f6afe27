import torch

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import encode_landmarks
from onelook.objective.joint import anchor_losses, predicted_landmarks
from onelook.objective.matching import BACKGROUND, Matches
from onelook.settings import Matching

ANCHORS = torch.tensor([[20.0, 20.0, 16.0, 16.0], [22.0, 20.0, 16.0, 16.0], [70.0, 70.0, 16.0, 16.0]])
LABELLED = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0)) * 40


def outputs(logits: list[list[float]], points: torch.Tensor) -> AnchorOutputs:
    return AnchorOutputs(torch.tensor([logits]), torch.zeros(1, 3, 4), encode_landmarks(points, ANCHORS)[None])


def test_a_face_s_best_scored_anchor_speaks_for_it() -> None:
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(1)) * 40
    match = Matches(torch.tensor([0, 0, BACKGROUND]))
    found = predicted_landmarks(outputs([[0.0, 1.0], [0.0, 2.0], [0.0, 9.0]], points), 0, ANCHORS, match, LABELLED)
    torch.testing.assert_close(found[0], points[1])
    torch.testing.assert_close(found[1], LABELLED[1])


def test_the_losses_bear_the_names_of_their_weights_and_keep_is_free_without_a_teacher() -> None:
    points = torch.zeros(3, 5, 2)
    boxes, landmarks = [torch.tensor([[12.0, 12.0, 28.0, 28.0]])], [LABELLED[:1]]
    settings = Matching(positive=0.5, negative=0.3, negatives_per_positive=1)
    given = outputs([[0.0, 1.0], [0.0, 2.0], [0.0, 9.0]], points)
    losses, matches = anchor_losses(given, None, ANCHORS, boxes, landmarks, settings)
    assert losses.keys() == {"classification", "box", "landmarks", "keep"} and losses["keep"].item() == 0
    assert matches[0].faces.tolist() == [0, 0, BACKGROUND]
    moved = outputs([[0.0, 1.0], [0.0, 0.0], [0.0, 9.0]], points)
    assert anchor_losses(given, moved, ANCHORS, boxes, landmarks, settings)[0]["keep"].item() > 0
