"""Decoding of a batch in torch equals decoding image by image on the CPU."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.anchors import LIGHT_LEVELS, AnchorOutputs, make_anchors
from onelook.inference.batched_decoding import nms_batch, postprocess_batch
from onelook.inference.decoding import postprocess_detections
from onelook.inference.nms import nms


@pytest.mark.parametrize("score", [0.02, 0.5, 0.9, 0.9999999])
def test_faces_equal_those_of_each_image(score: float) -> None:
    torch.manual_seed(0)
    anchors = make_anchors(64, 96, LIGHT_LEVELS)
    shape = 3, len(anchors)
    outputs = AnchorOutputs(torch.randn(*shape, 2) * 2, torch.randn(*shape, 4), torch.randn(*shape, 10))
    outputs.logits[1, :, 1] -= 100  # an image without faces
    references = anchors.expand(3, -1, -1)
    faces = postprocess_batch(outputs, references, score, 0.4)
    assert len(faces.boxes) == sum(faces.counts) and faces.counts[1] == 0
    start = 0
    for image, count in enumerate(faces.counts):
        expected = postprocess_detections(outputs, image, anchors, score, 0.4)
        rows = slice(start, start + count)
        assert faces.image_indices[rows].tolist() == [image] * count
        assert faces.anchor_indices[rows].tolist() == expected.anchor_indices.tolist()
        np.testing.assert_allclose(faces.boxes[rows], expected.boxes, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(faces.scores[rows], expected.scores, rtol=1e-6)
        np.testing.assert_allclose(faces.landmarks[rows], expected.landmarks, rtol=1e-5, atol=1e-4)
        start += count


@given(st.integers(0, 40), st.integers(0, 1000))
def test_nms_equals_the_sequential_algorithm(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 40, (2, count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(5, 40, (2, count, 2))], 2).astype(np.float32)
    valid = rng.random((2, count)) < 0.8
    keep, counts = nms_batch(torch.from_numpy(boxes), torch.from_numpy(valid), 0.37)
    scores = np.linspace(0.9, 0.1, count, dtype=np.float32)  # best first, so indices are in the order of the scores
    for image in range(2):
        rows = np.flatnonzero(valid[image])
        expected = rows[nms(boxes[image][rows], scores[rows], 0.37)]
        assert keep[image].nonzero()[:, 0].tolist() == expected.tolist() and counts[image] == len(expected)


def test_a_long_chain_of_overlaps_converges() -> None:
    left = torch.arange(50.0) * 5  # each box overlaps its neighbors alone
    boxes = torch.stack([left, torch.zeros(50), left + 10, torch.full((50,), 10.0)], 1)[None]
    keep, counts = nms_batch(boxes, torch.ones(1, 50, dtype=torch.bool), 0.3)
    assert keep[0].tolist() == [True, False] * 25 and counts == [25]
