"""The whole evaluation on a few real faces: what it writes, that it repeats, and that it agrees with the training's."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest
from onelook.drawing import GREEN, SKY, VERMILLION, Color
from onelook.errors import GalleryError
from onelook.evaluation.contact_sheet import ContactSheet
from onelook.evaluation.identification import dir_at_fpir, rank1
from onelook.evaluation.model_selection import validation_figure
from onelook.evaluation.probe_set import SplitEmbeddings, evaluate_split, score_matrix, try_probes
from onelook.evaluation.report import Evaluation, evaluate, write_evaluation
from onelook.gallery.calibration import calibrated_metadata
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings


@pytest.fixture(scope="module")
def evaluation(small_looker: TorchPredictor, small_manifest: Manifest, small_settings: Settings) -> Evaluation:
    return evaluate(small_looker, small_manifest, small_settings)


@pytest.fixture(scope="module")
def written(evaluation: Evaluation, small_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "evaluation"
    write_evaluation(evaluation, small_manifest, folder)
    return folder


def test_every_figure_stands_between_its_bounds(evaluation: Evaluation) -> None:
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
    for sections, wanted in ((evaluation.metrics, expected), (evaluation.metrics["eigenfaces"], recognition)):
        for section, names in wanted.items():
            figures = sections[section]
            assert figures.keys() == {name + suffix for name in names for suffix in ("", "_low", "_high")}
            for name in names:
                assert 0 <= figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"] <= 1
    counts = evaluation.metrics["counts"]
    assert counts["people"] == counts["people_enrolled"] == 3
    assert counts["enrollment_photos"] == 6
    assert counts["mated_trials"] == counts["probes"] == counts["faces"]
    assert counts["non_mated_trials"] == counts["probes_found"] + counts["false_alarms"]


def test_eigenfaces_answer_for_the_same_faces_and_misses(evaluation: Evaluation) -> None:
    ours, theirs = evaluation.people.onelook.trials, evaluation.people.eigenfaces.trials
    np.testing.assert_array_equal(np.isfinite(ours.scores), np.isfinite(theirs.scores))
    assert len(ours.other_scores) == len(theirs.other_scores)
    assert not np.array_equal(ours.scores, theirs.scores)


def test_tables_and_pictures(written: Path) -> None:
    files = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    tables = {"precision_recall", "landmark_error", "roc", "dir_fpir"}
    pictures = {*tables, "similarities", "identifications"}
    assert files == {
        "metrics.json",
        "calibration.json",
        *(f"curves/{name}.csv" for name in tables),
        *(f"pictures/{name}.png" for name in pictures),
    }
    for name in pictures:
        assert read_image(written / f"pictures/{name}.png").std() > 5
    with (written / "curves/dir_fpir.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0].keys() == {"fpir", "onelook", "eigenfaces"}
    metrics = json.loads((written / "metrics.json").read_text())
    assert float(rows[-1]["onelook"]) == metrics["identification"]["rank1"]
    assert float(rows[-1]["eigenfaces"]) == metrics["eigenfaces"]["identification"]["rank1"]


def test_the_contact_sheet_frames_what_the_threshold_made_of_each_face(
    evaluation: Evaluation, small_manifest: Manifest
) -> None:
    ours = evaluation.people.onelook
    sheet = ContactSheet(small_manifest, evaluation.people.seen, ours.people, ours.similarities)

    def frames(threshold: float) -> dict[Color, int]:
        drawn = sheet.draw(ours.trials, threshold)
        return {color: int((drawn == color).all(-1).sum()) for color in (GREEN, SKY, VERMILLION)}

    correct = int(ours.trials.correct.sum())
    mistaken = int(np.isfinite(ours.trials.scores).sum()) - correct
    assert 0 < correct <= 12
    assert 0 < mistaken <= 12
    frame = 112**2 - 106**2
    # Everything named: right ones have two green frames, mistakes two red ones and the right person's green one.
    expected = {GREEN: (2 * correct + mistaken) * frame, SKY: 0, VERMILLION: 2 * mistaken * frame}
    assert frames(-1.0) == pytest.approx(expected, rel=0.03)
    # Nothing named: blue where red was, and two blue frames for those that would have been right.
    everyone = frames(1.1)
    assert everyone[VERMILLION] == 0
    assert everyone[SKY] == pytest.approx(2 * min(12, correct + mistaken) * frame, rel=0.03)


def test_the_threshold_travels_with_the_model_and_how_it_looks(
    written: Path, evaluation: Evaluation, small_settings: Settings
) -> None:
    calibration = json.loads((written / "calibration.json").read_text())
    assert calibration["fingerprint"] == "f" * 64
    assert calibration["detect"] == small_settings.detect.model_dump()
    assert calibration["people"] == 3
    assert calibration["threshold"] == evaluation.calibration["threshold"]


def test_a_second_run_writes_the_same_bytes(
    written: Path, small_looker: TorchPredictor, small_manifest: Manifest, small_settings: Settings, tmp_path: Path
) -> None:
    write_evaluation(evaluate(small_looker, small_manifest, small_settings), small_manifest, tmp_path / "again")
    for path in written.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(written)).read_bytes() == path.read_bytes(), path.name


def test_the_validation_figure_is_the_same_evaluation_of_the_validation_people(
    small_looker: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    figures = validation_figure(small_looker, small_manifest, small_settings)
    seen = evaluate_split(small_looker, small_manifest, "validation", small_settings, lambda photos: None)
    trials = try_probes(seen.probes, *score_matrix(seen.probes, seen.enrolled))
    assert figures["ap50"] == seen.outcomes().average_precision() > 0.5
    assert (figures["rank1"], figures["dir_fpir10"]) == (rank1(trials), dir_at_fpir(trials, 0.1))
    assert figures["figure"] ** 2 == pytest.approx(figures["ap50"] * figures["dir_fpir10"])


def test_a_network_that_finds_nobody_scores_nothing_and_does_not_fail_training(
    small_looker: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    blind = small_settings.model_copy(update={"detect": small_settings.detect.model_copy(update={"score": 0.999999})})
    figures = validation_figure(small_looker, small_manifest, blind)
    assert figures["rank1"] == figures["dir_fpir10"] == figures["figure"] == 0


def perfect(seen: SplitEmbeddings) -> SplitEmbeddings:
    """The same sightings with an embedding that is who it is."""
    people = sorted({name for name in seen.probes.identities + seen.enrolled.identities if name is not None})

    def embed(names: tuple[str | None, ...]) -> np.ndarray:
        # A false alarm is nobody: a direction of its own.
        rows = np.zeros((len(names), len(people) + 1), np.float32)
        rows[range(len(names)), [len(people) if name is None else people.index(name) for name in names]] = 1
        return rows

    return replace(
        seen,
        probes=replace(seen.probes, embeddings=embed(seen.probes.identities)),
        enrolled=replace(seen.enrolled, embeddings=embed(seen.enrolled.identities)),
    )


def test_perfect_embeddings_reach_what_detection_lets_them(
    small_looker: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    seen = perfect(evaluate_split(small_looker, small_manifest, "test", small_settings, lambda photos: None))
    trials = try_probes(seen.probes, *score_matrix(seen.probes, seen.enrolled))
    found = seen.probes.found[seen.probes.labeled].mean()
    assert rank1(trials) == dir_at_fpir(trials, 0.01) == pytest.approx(found)


@pytest.fixture(scope="module")
def nameless(small_manifest: Manifest) -> Manifest:
    """The same scenes with the names taken away, and a box that is ignored."""
    box = np.array([[0, 0, 30, 30]], np.float32)
    scenes = [
        replace(scene, faces=tuple(replace(face, identity=None) for face in scene.faces), ignored=box)
        for scene in small_manifest.scenes
        if scene.role == "scene"
    ]
    return replace(small_manifest, scenes=tuple(scenes))


def test_without_names_detection_and_landmarks_alone_are_measured_and_alike(
    evaluation: Evaluation, nameless: Manifest, small_looker: TorchPredictor, small_settings: Settings, tmp_path: Path
) -> None:
    alone = evaluate(small_looker, nameless, small_settings)
    assert alone.metrics.keys() == {"detection", "landmarks", "counts"} and alone.people is None
    assert alone.metrics["landmarks"] == evaluation.metrics["landmarks"]
    assert alone.metrics["counts"].keys() == {"scenes", "faces", "faces_with_landmark_error", "ignored"}
    assert alone.metrics["detection"]["ap50"] >= evaluation.metrics["detection"]["ap50"] > 0.5
    write_evaluation(alone, nameless, tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    pictures = {"pictures/precision_recall.png", "pictures/landmark_error.png"}
    tables = {"curves/precision_recall.csv", "curves/landmark_error.csv"}
    assert files == {"metrics.json", "calibration.json", *pictures, *tables}
    # No gallery is made upon a threshold that nothing was set on.
    with pytest.raises(GalleryError, match="has no threshold for unknown faces, as nobody") as caught:
        calibrated_metadata(tmp_path / "out/calibration.json", "f" * 64, 16, managed=False)
    assert "\n" not in str(caught.value)


def test_the_validation_figure_of_detection_needs_no_names(
    nameless: Manifest, small_looker: TorchPredictor, small_settings: Settings
) -> None:
    train = small_settings.train.model_copy(update={"tasks": "detection"})
    figures = validation_figure(small_looker, nameless, small_settings.model_copy(update={"train": train}))
    assert figures.keys() == {"ap50", "figure"} and figures["figure"] == figures["ap50"] > 0.5
