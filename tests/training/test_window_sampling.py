"""Training windows lie in the IoU ranges of their sources."""

from dataclasses import replace

import numpy as np
import torch

from onelook.data.scene_dataset import SceneBatch
from onelook.geometry.boxes import pairwise_iou
from onelook.geometry.windows import decode_offsets, decode_points
from onelook.training.window_sampling import (
    MIN_SIZE,
    POSITIVES_PER_SCENE,
    SHARES,
    WindowBatch,
    WindowDraws,
    draw_windows,
    make_windows,
    select_windows,
)

BOXES = torch.tensor([[[20.0, 30, 60, 80], [100, 40, 124, 70]], [[70, 70, 150, 150], [0, 0, 0, 0]]])
LANDMARKS = BOXES[..., None, :2] + torch.rand(2, 2, 5, 2, generator=torch.Generator().manual_seed(0)) * 20
BATCH = SceneBatch(
    images=torch.zeros(2, 3, 160, 160, dtype=torch.uint8),
    boxes=BOXES,
    landmarks=LANDMARKS.where(torch.tensor([[True, False], [True, False]])[..., None, None], torch.nan),
    identities=torch.full((2, 2), -1),
    teacher_embeddings=None,
    meshes=None,
    ignored=None,
    face_counts=(2, 1),
)


SOURCES = ("negative", "positive", "part", "landmark")


def sample(batch: SceneBatch = BATCH, mined: torch.Tensor | None = None) -> WindowBatch:
    rng = np.random.default_rng(0)
    windows = make_windows(batch, draw_windows(batch, rng))
    assert windows.equal(windows.floor())
    windows = windows if mined is None else torch.cat([windows, mined], 1)
    priorities = torch.from_numpy(rng.random((2, *windows.shape[:2]), np.float32))
    if mined is not None:
        priorities[..., -mined.shape[1] :] += 1
    return select_windows(batch, windows, priorities)


def split_by_source(sampled: WindowBatch) -> dict[str, torch.Tensor]:
    """Return the rows of the windows of each source that train something."""
    counts = [share * POSITIVES_PER_SCENE * 2 for share in SHARES]
    assert len(sampled.windows) == sum(counts)
    targets = sampled.targets
    trains = targets.trains_classification | targets.trains_box | targets.trains_landmarks
    rows = torch.arange(len(trains)).split(counts)
    return {source: own[trains[own]] for source, own in zip(SOURCES, rows, strict=True)}


def test_every_source_has_its_range_of_iou_and_its_targets() -> None:
    sampled = sample()
    targets = sampled.targets
    overlaps = pairwise_iou(sampled.windows[:, None], BOXES[sampled.images])[:, 0]
    best, face = overlaps.max(1)
    rows = split_by_source(sampled)
    used = sampled.windows[torch.cat(list(rows.values()))]
    assert (used[:, 2:] - used[:, :2] >= MIN_SIZE).all()
    assert all(len(own) >= 6 for own in rows.values()), {name: len(own) for name, own in rows.items()}
    assert (best[rows["negative"]] < 0.3).all() and not targets.is_face[rows["negative"]].any()
    assert (best[rows["positive"]] > 0.65).all() and targets.is_face[rows["positive"]].all()
    assert ((best[rows["part"]] >= 0.4) & (best[rows["part"]] <= 0.65)).all()
    for own in (rows["positive"], rows["part"]):
        decoded = decode_offsets(targets.offsets[own], sampled.windows[own])
        torch.testing.assert_close(decoded, BOXES[sampled.images[own], face[own]], rtol=0, atol=1e-4)
    own = rows["landmark"]
    assert (best[own] > 0.65).all()
    points = decode_points(targets.landmarks[own], sampled.windows[own])
    # The faces without points have no landmark windows: NaN would not be close.
    torch.testing.assert_close(points, BATCH.landmarks[sampled.images[own], face[own]], rtol=0, atol=1e-4)


def test_mined_windows_come_first_and_none_is_drawn_on_an_ignored_region() -> None:
    mined = torch.tensor([[[0.0, 100, 24, 124], [0, 0, 0, 0]], [[4, 4, 40, 40], [0, 0, 8, 8]]])
    negatives = sample(mined=mined)
    first = negatives.windows[:2]
    assert {tuple(window) for window in first.tolist()} == {(0, 100, 24, 124), (4, 4, 40, 40)}
    everywhere = torch.tensor([[[0.0, 0, 160, 160]]] * 2)
    rows = split_by_source(sample(replace(BATCH, ignored=everywhere)))
    assert len(rows["negative"]) == 0 and len(rows["positive"]) > 0


def test_windows_over_the_edge_are_moved_inside() -> None:
    """A face at each of two corners: the draws place its windows over the edges, by distances computed by hand."""
    batch = replace(BATCH, boxes=torch.tensor([[[2.0, 4, 42, 44]], [[118, 120, 158, 160]]]))
    around = torch.full((2, 1, 16, 3), 0.5)
    # Sides of close windows are 32 to 50 pixels, their shifts at most 8; of far ones 16 to 80, and at most 40.
    around[:, 0, :12] = torch.tensor([4 / 9, 0.25, 0.75])  # 40 pixels a side, shifted by -4, +4
    around[:, 0, 12:] = torch.tensor([1.0, 0.5, 0.5])  # 80 pixels a side, about the center of the face
    windows = make_windows(batch, WindowDraws(around, torch.zeros(2, 24, 3)))
    sides = windows[..., 2:] - windows[..., :2]
    assert sides[..., 0].equal(sides[..., 1])
    # (-2, 8) to (38, 48) is moved by 2; (-18, -16) to (62, 64) by 18 and 16. The anywhere windows are inside.
    assert windows[0, 0].tolist() == [0, 8, 40, 48] and windows[0, 12].tolist() == [0, 0, 80, 80]
    # (114, 124) to (154, 164) is moved by 4 upwards; (98, 100) to (178, 180) by 18 and 20.
    assert windows[1, 0].tolist() == [114, 120, 154, 160] and windows[1, 12].tolist() == [80, 80, 160, 160]
    assert windows[:, 16:].equal(torch.tensor([0.0, 0, 12, 12]).expand(2, 24, 4))


def test_a_window_larger_than_the_scene_gets_its_size() -> None:
    batch = replace(BATCH, boxes=torch.tensor([[[0.0, 0, 150, 140]], [[0, 0, 0, 0]]]))
    windows = make_windows(batch, draw_windows(batch, np.random.default_rng(0)))
    assert windows.amin() == 0 and windows.amax() == 160
    assert windows[1, :16].eq(0).all()  # the padded face has none
