from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onelook.data.manifest import Manifest
from onelook.errors import GalleryError
from onelook.evaluation.evaluate import Evaluation, evaluate
from onelook.evaluation.identification import dir_at_fpir, rank1
from onelook.evaluation.probe_set import run_probe_trials, score_matrix
from onelook.evaluation.report import CURVES, write_evaluation
from onelook.evaluation.split_predictions import SplitEmbeddings, embed_split
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings


def test_every_metric_lies_in_its_interval(small_evaluation: Evaluation) -> None:
    recognition = {
        "verification": {"accuracy", "tar_far1"},
        "identification": {
            "rank1",
            "rank1_large",
            "dir_fpir1",
            "dir_fpir10",
            "dir_calibrated",
            "fpir_calibrated",
        },
    }
    landmarks = {"nme", "failure_rate", "nme_interocular", "failure_rate_interocular"}
    expected = {"detection": {"ap50"}, "landmarks": landmarks, **recognition}
    for sections, names_by_section in (
        (small_evaluation.metrics, expected),
        (small_evaluation.metrics["eigenfaces"], recognition),
    ):
        for section, names in names_by_section.items():
            metrics = sections[section]
            assert metrics.keys() == {name + suffix for name in names for suffix in ("", "_low", "_high")}
            for name in names:
                assert 0 <= metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"] <= 1
    counts = small_evaluation.metrics["counts"]
    assert counts["people"] == counts["people_enrolled"] == 3
    assert counts["enrollment_photos"] == 6
    assert counts["mated_trials"] == counts["probes"] == counts["faces"]
    assert counts["non_mated_trials"] == counts["probes_found"] + counts["false_alarms"]


def test_eigenfaces_are_evaluated_on_the_same_detections(small_evaluation: Evaluation) -> None:
    assert small_evaluation.recognition is not None
    network, baseline = small_evaluation.recognition.onelook.trials, small_evaluation.recognition.eigenfaces.trials
    np.testing.assert_array_equal(np.isfinite(network.scores), np.isfinite(baseline.scores))
    assert len(network.non_mated_scores) == len(baseline.non_mated_scores)
    assert not np.array_equal(network.scores, baseline.scores)


def with_perfect_embeddings(split: SplitEmbeddings) -> SplitEmbeddings:
    """Replace the embedding of each face by the unit vector of its person."""
    people = sorted({name for name in split.probes.identities + split.enrolled.identities if name is not None})

    def embed(names: tuple[str | None, ...]) -> np.ndarray:
        # False positives have a direction of their own.
        rows = np.zeros((len(names), len(people) + 1), np.float32)
        rows[range(len(names)), [len(people) if name is None else people.index(name) for name in names]] = 1
        return rows

    return replace(
        split,
        probes=replace(split.probes, embeddings=embed(split.probes.identities)),
        enrolled=replace(split.enrolled, embeddings=embed(split.enrolled.identities)),
    )


def test_perfect_embeddings_identify_all_detected_faces(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    split = with_perfect_embeddings(embed_split(small_predictor, small_manifest, "test", small_settings))
    trials = run_probe_trials(split.probes, *score_matrix(split.probes, split.enrolled))
    detection_rate = split.probes.is_detected[split.probes.is_labeled].mean()
    assert rank1(trials) == dir_at_fpir(trials, 0.01) == pytest.approx(detection_rate)


def test_without_identities_only_detection_and_landmarks_are_evaluated(
    small_evaluation: Evaluation,
    manifest_without_identities: Manifest,
    small_predictor: TorchPredictor,
    small_settings: Settings,
    tmp_path: Path,
) -> None:
    evaluation = evaluate(small_predictor, manifest_without_identities, small_settings)
    assert evaluation.metrics.keys() == {"detection", "landmarks", "counts", "conditions"}
    assert evaluation.recognition is None
    assert evaluation.metrics["landmarks"] == small_evaluation.metrics["landmarks"]
    assert evaluation.metrics["counts"].keys() == {"scenes", "faces", "faces_with_landmark_error", "ignored"}
    assert evaluation.metrics["detection"]["ap50"] >= small_evaluation.metrics["detection"]["ap50"] > 0.5
    out = tmp_path / "out"
    write_evaluation(evaluation, manifest_without_identities, out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    pictures = {"pictures/precision_recall.png", "pictures/landmark_error.png", "pictures/conditions.png"}
    tables = {f"curves/{name}.csv" for name in CURVES}
    assert files == {"metrics.json", "calibration.json", *pictures, *tables}
    # A gallery cannot be created without a calibrated threshold.
    with pytest.raises(GalleryError, match="has no threshold") as caught:
        read_calibrated_metadata(out / "calibration.json", "f" * 64, 16, managed=False)
    assert "\n" not in str(caught.value)
