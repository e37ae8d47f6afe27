from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.media.tracker import MAX_GAP_SECONDS, MIN_IOU, FaceObservation, Track, Tracker, assign_tracks

MIN_SIMILARITY, REID_SIMILARITY = 0.3, 0.8
AXES = np.eye(4, dtype=np.float32)


def observe(
    left: float, top: float = 0, identity: int = 0, weight: float = 1, embedding: np.ndarray | None = None
) -> FaceObservation:
    box = np.array([left, top, left + 10, top + 10], np.float32)
    return FaceObservation(box, AXES[identity] if embedding is None else embedding, weight, (left, weight))


def track_frames(
    *frames: list[FaceObservation], fps: float = 10, reid_similarity: float = REID_SIMILARITY
) -> tuple[list[list[int]], list[Track]]:
    """Track the faces of frames and return the track ids by frame, and the tracks."""
    tracker = Tracker(MIN_SIMILARITY, reid_similarity)
    track_ids, tracks = [], []
    for number, observations in enumerate(frames):
        frame_ids, ended = tracker.update(number, number / fps, observations)
        track_ids.append(frame_ids)
        tracks += ended
    return track_ids, tracks + tracker.finish()


def test_crossing_people_keep_their_tracks() -> None:
    frames = [[observe(5 * t, identity=0), observe(50 - 5 * t, identity=1)] for t in range(11)]
    assert frames[5][0].box[0] == frames[5][1].box[0], "in the middle both boxes are equal"
    track_ids, tracks = track_frames(*frames)
    assert track_ids == [[1, 2]] * 11
    for track, axis in zip(tracks, AXES, strict=False):
        np.testing.assert_allclose(track.template, axis, atol=1e-6)


def test_fast_face_is_assigned_by_its_predicted_box() -> None:
    # It moves by nine tenths of its side per frame: its IoU with its last box is 1/19 only.
    assert MIN_IOU > 1 / 19
    frames = [[observe(left)] for left in (0, 6, 15, 24, 33)]
    assert track_frames(*frames, reid_similarity=2)[0] == [[1]] * 5
    assert track_frames(*frames[1:], reid_similarity=2)[0] == [[1], [2], [3], [4]], "a new track has no velocity"
    track = track_frames([observe(0)], [observe(6)])[1][0]
    np.testing.assert_allclose(track.predict_box(0.3), observe(18).box, atol=1e-4)  # 60 pixels a second


def test_face_elsewhere_needs_the_reid_similarity() -> None:
    half = (AXES[0] + AXES[1]) / np.sqrt(2)  # similarity 0.71: between the two thresholds
    assert track_frames([observe(0)], [observe(100)])[0] == [[1], [1]]
    assert track_frames([observe(0)], [observe(100, embedding=half)])[0] == [[1], [2]]
    assert track_frames([observe(0)], [observe(2, embedding=half)])[0] == [[1], [1]]
    assert track_frames([observe(0)], [observe(0, identity=1)])[0] == [[1], [2]], (
        "another person at the same place, after a cut"
    )


def test_track_continues_after_a_short_gap_and_ends_after_a_long_one() -> None:
    def track_with_gap(frames: int) -> list[list[int]]:
        return track_frames([observe(0)], *([[]] * frames), [observe(0)])[0]

    max_gap = round(MAX_GAP_SECONDS * 10)
    assert track_with_gap(max_gap)[-1] == [1]
    assert track_with_gap(max_gap + 1)[-1] == [2]
    slow_track_ids = track_frames([observe(0)], [], [], [observe(0)], fps=0.5)
    assert slow_track_ids[0][-1] == [1], "at 0.5 fps, two missed frames do not end a track"
    assert track_frames([observe(0)], [], [], [], [observe(0)], fps=0.5)[0][-1] == [2]


def test_new_face_starts_a_track_and_sums_are_over_its_faces() -> None:
    track_ids, tracks = track_frames(
        [observe(0, weight=0.5)],
        [observe(0, weight=0.9), observe(40, identity=1)],
        [observe(40, identity=1), observe(1, weight=0.2)],
    )
    assert track_ids == [[1], [1, 2], [2, 1]]
    first, second = sorted(tracks, key=lambda track: track.track_id)
    assert (first.first, first.last, first.face_count) == ((0, 0.0), (2, 0.2), 3)
    assert (second.first, second.last, second.face_count) == ((1, 0.1), (2, 0.2), 2)
    np.testing.assert_allclose(first.embedding_sum, AXES[0] * 1.6, atol=1e-6)
    assert first.best.record == (0, 0.9)


def test_template_is_the_weighted_mean_of_the_faces() -> None:
    tilted = np.array([0.6, 0.8, 0, 0], np.float32)
    track = track_frames([observe(0, weight=1)], [observe(0, embedding=tilted, weight=0.25)])[1][0]
    total = np.array([1 + 0.15, 0.2, 0, 0])
    np.testing.assert_allclose(track.template, total / np.linalg.norm(total), atol=1e-6)


@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(0, 4))
def test_assignment_is_the_best_of_all(seed: int, track_count: int, face_count: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(track_count + face_count, 4)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    corners = rng.uniform(0, 15, (track_count + face_count, 2))
    observations = [observe(x, y, embedding=row) for (x, y), row in zip(corners, embeddings, strict=True)]
    tracks = track_frames(observations[:track_count])[1] if track_count else []
    faces = observations[track_count:]
    assignment = assign_tracks(tracks, faces, 0.0, MIN_SIMILARITY, REID_SIMILARITY)

    def score(face: int, track: int) -> float | None:
        a, b = faces[face].box.astype(float), tracks[track].box.astype(float)
        intersection = (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod()
        iou = intersection / (200 - intersection)
        similarity = float(faces[face].embedding @ tracks[track].template)
        is_match = (iou >= MIN_IOU and similarity >= MIN_SIMILARITY) or similarity >= REID_SIMILARITY
        return iou + similarity if is_match else None

    best = 0.0
    for permutation in set(permutations([*range(track_count), *[-1] * face_count], face_count)):
        scores = [score(face, track) for face, track in enumerate(permutation) if track >= 0]
        best = max(best, sum(value for value in scores if value is not None))
    assigned = [score(face, track) for face, track in assignment.items()]
    assert None not in assigned
    assert len(set(assignment.values())) == len(assignment)
    assert sum(value for value in assigned if value is not None) == pytest.approx(best, abs=1e-5)


def test_assignment_prefers_one_strong_match_to_two_weak_ones() -> None:
    # The first face equals track 1. The second face could also continue track 1, and the first face track 2.
    weak = np.array([0.4, 0, 0.9165, 0], np.float32)
    tracks = track_frames([observe(0), observe(7, embedding=np.array([0.4, 0.9165, 0, 0], np.float32))])[1]
    faces = [observe(0), observe(-7, embedding=weak)]
    low_iou = 3 / 17  # IoU of boxes of side 10 that are 7 apart
    assert low_iou >= MIN_IOU and 2 * (low_iou + 0.4) < 1 + 1
    assert assign_tracks(tracks, faces, 0.0, MIN_SIMILARITY, REID_SIMILARITY) == {0: 0}
