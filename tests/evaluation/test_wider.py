from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.wider_reference import SETTINGS, Labels, draw_predictions, reference_evaluation, write_ground_truth
from onelook.evaluation.wider import THRESHOLDS, evaluate_wider, normalize_scores
from onelook.evaluation.wider_ground_truth import WiderPhoto, read_wider_ground_truth

FACE = [10, 10, 29, 29]
OTHER = [100, 10, 119, 29]
BACKGROUND = [300, 300, 320, 320]


def make_photo(boxes: list[list[float]], required: list[bool] | None = None) -> WiderPhoto:
    """Return a photo with the same required faces in each setting, by default all."""
    mask = np.array([True] * len(boxes) if required is None else required, bool)
    return WiderPhoto(
        "0--Parade", "0_Parade_1", np.array(boxes, np.float32).reshape(-1, 4), dict.fromkeys(SETTINGS, mask)
    )


def evaluate(photos: list[WiderPhoto], predictions: list[list[tuple[list[float], float]]]) -> float:
    """Return the AP of predictions (box, score), which must be equal in all settings."""
    boxes = [np.array([box for box, _ in each], np.float64).reshape(-1, 4) for each in predictions]
    curves = evaluate_wider(photos, boxes, [np.array([score for _, score in each], np.float64) for each in predictions])
    easy, medium, hard = (curves[setting].average_precision for setting in SETTINGS)
    assert easy == medium == hard
    return easy


# Scores are normalized to 0..1. With this prediction and one of score 1.0 they stay unchanged.
LOWEST = [(BACKGROUND, 0.0)]


def test_thresholds_are_a_thousand_from_0_999_to_0() -> None:
    assert len(THRESHOLDS) == 1000
    assert THRESHOLDS[0] == 1 - 1 / 1000 and THRESHOLDS[-1] == 0


def test_scores_are_normalized_over_all_photos() -> None:
    first, second, third = normalize_scores([np.array([2.0, 6.0]), np.zeros(0), np.array([4.0, 10.0])])
    assert first.tolist() == [0.0, 0.5] and second.tolist() == [] and third.tolist() == [0.25, 1.0]
    assert normalize_scores([np.full(2, 0.3), np.full(1, 0.3)])[0].tolist() == [1, 1]
    assert normalize_scores([np.zeros(0)])[0].tolist() == []


def test_scores_between_two_thresholds_have_no_order() -> None:
    # 0.50049 and 0.50001 both lie between the thresholds 0.501 and 0.5, so both predictions pass at once.
    photos, ends = [make_photo([FACE, OTHER])], [(OTHER, 1.0), *LOWEST]
    assert evaluate(photos, [[(FACE, 0.50049), (BACKGROUND, 0.50001), *ends]]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert evaluate(photos, [[(FACE, 0.50149), (BACKGROUND, 0.50001), *ends]]) == pytest.approx(1)


def test_the_second_prediction_on_a_face_is_a_false_positive() -> None:
    photos = [make_photo([FACE, OTHER])]
    assert evaluate(photos, [[(FACE, 1.0), (FACE, 0.9), (OTHER, 0.5), *LOWEST]]) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_the_best_scored_prediction_is_the_true_positive_in_any_order() -> None:
    slightly_off = [11, 10, 30, 29]
    photos = [make_photo([FACE])]
    assert evaluate(photos, [[(FACE, 0.2), (slightly_off, 1.0), *LOWEST]]) == 1
    assert evaluate(photos, [[(slightly_off, 1.0), (FACE, 0.2), *LOWEST]]) == 1


def test_a_prediction_on_an_ignored_face_is_dropped() -> None:
    photos = [make_photo([FACE, OTHER], [True, False])]
    assert evaluate(photos, [[(OTHER, 1.0), (OTHER, 0.9), (FACE, 0.5)]]) == 1
    assert evaluate(photos, [[(FACE, 1.0), *LOWEST]]) == 1


def test_a_prediction_closer_to_an_ignored_face_is_dropped_although_it_overlaps_a_required_one() -> None:
    ignored = [12, 10, 31, 29]
    photos = [make_photo([FACE, ignored], [True, False])]
    assert evaluate(photos, [[(ignored, 1.0), *LOWEST]]) == 0
    assert evaluate([make_photo([FACE])], [[(ignored, 1.0), *LOWEST]]) == 1


def test_the_first_of_two_labels_with_equal_iou_is_matched() -> None:
    between = [20, 10, 39, 29]
    left, right = [18, 10, 37, 29], [22, 10, 41, 29]
    assert evaluate([make_photo([left, right], [True, False])], [[(between, 1.0), *LOWEST]]) == 1
    assert evaluate([make_photo([left, right], [False, True])], [[(between, 1.0), *LOWEST]]) == 0


def test_iou_includes_the_last_pixel_and_half_is_enough() -> None:
    # On areas one pixel larger: 10 x 20 of 20 x 20, just half; as continuous boxes it would be 9 / 19.
    half, less = [10, 10, 19, 29], [10, 10, 18.99, 29]
    assert evaluate([make_photo([FACE])], [[(half, 1.0), *LOWEST]]) == 1
    assert evaluate([make_photo([FACE])], [[(less, 1.0), *LOWEST]]) == 0
    # A label of width 0 counts as one pixel wide and can be detected.
    line = [50, 50, 50, 60]
    assert evaluate([make_photo([line])], [[(line, 1.0), *LOWEST]]) == 1


def test_faces_in_photos_without_predictions_are_missed() -> None:
    photos = [make_photo([FACE]), make_photo([FACE, OTHER])]
    assert evaluate(photos, [[(FACE, 1.0), *LOWEST], []]) == pytest.approx(1 / 3)
    assert evaluate(photos, [[], []]) == 0


def test_photos_without_labels_have_no_false_positives_but_their_scores_are_normalized() -> None:
    photos = [make_photo([FACE]), make_photo([])]
    assert evaluate(photos, [[(FACE, 0.5)], [(BACKGROUND, 0.9), (BACKGROUND, 0.0)]]) == 1
    # Its score of 1.0 moves 0.5003 and 0.5004 of the other photo between the same two thresholds.
    false_positive_first = [(BACKGROUND, 0.5004), (FACE, 0.5003)]
    assert evaluate(photos, [false_positive_first, [(BACKGROUND, 1.0), (BACKGROUND, 0.0)]]) == 0.5


def test_precision_is_the_envelope() -> None:
    # By score: false, true, true positive. The precision is 0, 1/2, 2/3, the envelope 2/3 everywhere.
    photos = [make_photo([FACE, OTHER])]
    assert evaluate(photos, [[(BACKGROUND, 1.0), (FACE, 0.8), (OTHER, 0.6), *LOWEST]]) == pytest.approx(2 / 3)


def test_ap_without_required_faces_is_nan() -> None:
    curves = evaluate_wider([make_photo([FACE], [False])], [np.array([FACE])], [np.ones(1)])
    assert all(np.isnan(curve.average_precision) for curve in curves.values())


def draw_labels(rng: np.random.Generator) -> Labels:
    """Draw a few crowded photos of two events; some, all or no faces are required."""
    labels: Labels = {}
    for number in range(rng.integers(2, 6)):
        count = rng.integers(0, 12)
        boxes = np.concatenate([rng.integers(0, 80, (count, 2)), rng.integers(0, 40, (count, 2))], axis=1)
        numbers = {s: (np.flatnonzero(rng.random(count) < fraction) + 1).tolist() for s, fraction in REQUIRED.items()}
        labels[f"{number // 2}--Event", f"photo_{number}"] = boxes, numbers
    first = np.array([[10, 10, 19, 19]]), {setting: [1] for setting in SETTINGS}  # every setting needs a face
    return labels | {("9--Event", "photo_9"): first}


REQUIRED = {"easy": 0.2, "medium": 0.5, "hard": 0.9}


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_reference_evaluation(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("truth")
    labels = draw_labels(rng)
    write_ground_truth(folder, labels)
    predictions = draw_predictions({photo: boxes for photo, (boxes, _) in labels.items()}, rng)
    photos = read_wider_ground_truth(folder)
    rows = [predictions[photo.event, photo.name] for photo in photos]
    curves = evaluate_wider(
        photos, [np.hstack([each[:, :2], each[:, :2] + each[:, 2:4]]) for each in rows], [each[:, 4] for each in rows]
    )
    expected = reference_evaluation(folder, predictions)
    for setting, curve in curves.items():
        assert curve.average_precision == pytest.approx(expected[setting], abs=1e-9)
        assert (np.diff(curve.recall) >= 0).all() and 0 <= curve.recall[-1] <= 1


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.125, 4.0]), st.integers(-3, 3))
def test_affine_score_changes_and_photo_order_do_not_matter(seed: int, factor: float, shift: int) -> None:
    rng = np.random.default_rng(seed)
    photos, boxes, scores = [], [], []
    for _ in range(4):
        corners = rng.integers(0, 60, (rng.integers(1, 8), 2))
        labeled = np.hstack([corners, corners + rng.integers(5, 30, corners.shape)])
        required = {setting: rng.random(len(labeled)) < 0.7 for setting in SETTINGS}
        photos.append(WiderPhoto("e", "p", labeled.astype(np.float32), required))
        boxes.append(np.repeat(labeled, 2, axis=0) + rng.normal(0, 3, (2 * len(labeled), 4)))
        # Powers of two and sums of few bits are exact, so no score crosses a threshold.
        scores.append(rng.integers(0, 257, len(boxes[-1])) / 256)
    plain = evaluate_wider(photos, boxes, scores)
    order = rng.permutation(4)
    shuffled = [[each[i] for i in order] for each in (photos, boxes, [factor * (each + shift) for each in scores])]
    changed = evaluate_wider(*shuffled)
    for setting, curve in plain.items():
        np.testing.assert_array_equal(curve.recall, changed[setting].recall)
        np.testing.assert_array_equal(curve.precision, changed[setting].precision)


@pytest.mark.shared_data
def test_the_official_labels_as_predictions_have_nearly_perfect_ap(shared_data: Path) -> None:
    # One hard face is labeled twice, so its double is a false positive. A box of width -2 cannot be matched and is a
    # false positive in all settings.
    photos = read_wider_ground_truth(shared_data / "widerface/ground_truth")
    curves = evaluate_wider(photos, [photo.boxes for photo in photos], [np.ones(len(photo.boxes)) for photo in photos])
    ap = [curve.average_precision for curve in curves.values()]
    assert ap == pytest.approx([7211 / 7212, 13319 / 13320, (31956 / 31958) ** 2], abs=1e-12)
