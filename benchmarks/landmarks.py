"""Train the landmark cascades on points marked by people, and measure error, time and recognition.

    python benchmarks/pts_annotations.py --photos helen/trainset --out build/helen
    python benchmarks/landmarks.py --data ../shared/data --helen build/helen [--steps 2000] [--out build/landmarks]

Every baseline whose name begins with `landmarks_`, except FacePoseNet (`face_pose.py`), is trained on the training
photos of scenes/ and of Helen's training part. Boxes are those that the released network detects; seed and steps are
equal, on one thread. A finished training is not repeated, and an interrupted one resumes. Tables:

- Error after each level: mean distance from the marked points by that of the eyes, on test photos of the split of the
  stage `prepare`, in detected boxes. scenes/ counts for the eyes alone (`landmark_photos.py`).
- Cost: milliseconds and minutes of processor time with one thread, so that other processes matter little. Images are
  VGA with 1, 8 and 32 faces; detection is not counted.
- Recognition: accuracy on LFW's development test and on two folds of CFP, end to end from the photo, with the released
  weights sampled at each kind of points. It needs --helen, because scenes/ has neither nose nor corners of the mouth.

Intervals are 95 % bootstrap intervals over photos and people. --limit takes at most that many photos or pairs of a set:
the figures are then partial. Prints Markdown and writes it into docs/baselines.md, except with --limit.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from landmark_photos import (
    MarkedPhoto,
    TrainingFaces,
    detect_marked,
    open_training_faces,
    read_marked_photos,
    repeat_complete,
    select_photos,
)
from landmark_recognition import measure_recognition
from landmark_systems import CASCADES, PointSystem, fixed_systems, train_cascade, training_settings
from one_look import MOSAICS, compose_grid
from pair_metrics import Metric

from onelook.errors import OnelookError
from onelook.evaluation.bootstrap import bootstrap_intervals
from onelook.evaluation.landmarks import FAILURE_THRESHOLD, interocular_errors, landmark_metrics
from onelook.files import atomic_file
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.process import configure_process
from onelook.settings import DetectSettings
from onelook.training import landmark_training

DOCUMENT = Path(__file__).parents[1] / "docs/baselines.md"
BEGIN, END = "<!-- made by benchmarks/landmarks.py -->", "<!-- end of landmarks.py -->"
STEPS = 2000
REPEATS = 3
"""Number of times that a face with five labeled points stands for one with two, of which there are more."""
RESAMPLES = 1000
ROUNDS, WARMUP = 15, 2

Row = dict[str, str]


@dataclass(frozen=True, eq=False)
class LevelErrors:
    """Errors of systems on n faces of a set of photos.

    Attributes:
        errors: by system, (levels, n) interocular errors; NaN is undefined.
        photos: (n,) int64, photo of each face.
        num_photos: number of photos.
        missed: number of faces that were not detected.
    """

    errors: dict[str, np.ndarray]
    photos: np.ndarray
    num_photos: int
    missed: int

    def columns(self, system: str, level: int) -> Row:
        """Return the mean error with its interval, and the percentage of failures."""
        errors = self.errors[system][level]

        def metrics(weights: np.ndarray) -> dict[str, float]:
            return landmark_metrics(errors, weights[self.photos])

        found = bootstrap_intervals(metrics, (self.num_photos,), RESAMPLES, training_settings().base.seed)
        if "nme" not in found:
            return {"error": "–", f"> {FAILURE_THRESHOLD}": "–"}
        error = f"{found['nme']:.4f} [{found['nme_low']:.4f}, {found['nme_high']:.4f}]"
        return {"error": error, f"> {FAILURE_THRESHOLD}": f"{100 * found['failure_rate']:.1f} %"}


def main() -> None:
    """Train, measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of scenes/, lfw/ and cfp_folds_1_2/")
    parser.add_argument("--helen", type=Path, help="folder that pts_annotations.py wrote")
    parser.add_argument("--out", type=Path, default=Path("build/landmarks"), help="checkpoints and trained cascades")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each level")
    parser.add_argument("--limit", type=int, help="most photos or pairs of a set")
    arguments = parser.parse_args()
    configure_process()
    try:
        text = run(arguments.data, arguments.helen, arguments.out, arguments.steps, arguments.limit)
    except OnelookError as error:
        sys.exit(str(error))
    print(text)
    if arguments.limit is None:
        with atomic_file(DOCUMENT, private=False) as temporary:
            temporary.write_text(replace_between_markers(DOCUMENT.read_text(encoding="utf-8"), text), encoding="utf-8")


def run(data: Path, helen: Path | None, out: Path, steps: int, limit: int | None) -> str:
    """Return the tables as Markdown."""
    # Processor time is that of one thread; cascades are trained with the same number.
    torch.set_num_threads(training_settings().base.threads)
    predictor = load_torch_predictor(RELEASED)
    photos = read_marked_photos(data, helen)
    trained = [photo for own in photos.values() for photo in select_photos(own, "train", limit)]
    training = open_training_faces(trained, predictor, out / "faces.npz")
    faces = repeat_complete(training.faces, REPEATS)
    systems = fixed_systems(training) + [train_cascade(name, faces, steps, out) for name in CASCADES]
    errors = {}
    for name, own in photos.items():
        tested = select_photos(own, "test", limit)
        errors[name] = measure_errors(systems, detect_marked(tested, predictor, f"{name}, test"))
    parts = [describe(training, errors, steps), write_table(error_rows(systems, errors))]
    parts.append(write_table(cost_rows(systems, predictor, data)))
    if helen is not None:
        measured = measure_recognition(systems, predictor, data, limit)
        parts.append(write_table(recognition_rows(measured)))
    if limit is not None:
        parts.insert(0, f"**Partial: at most {limit} photos or pairs of a set (--limit).**")
    return "\n\n".join(parts)


def measure_errors(systems: Sequence[PointSystem], photos: Iterable[MarkedPhoto]) -> LevelErrors:
    """Measure the error of each system after each of its levels."""
    errors: dict[str, list[np.ndarray]] = {system.name: [] for system in systems}
    counts, missed = [], 0
    for photo in photos:
        counts.append(len(photo.boxes))
        missed += photo.missed
        for system in systems:
            errors[system.name].append(photo_errors(system, photo))
    joined = {name: np.concatenate(own, axis=1) for name, own in errors.items()}
    return LevelErrors(joined, np.repeat(np.arange(len(counts)), counts), len(counts), missed)


def photo_errors(system: PointSystem, photo: MarkedPhoto) -> np.ndarray:
    """Return the interocular errors (levels, n) of the faces of a photo."""
    levels = system.predict_levels(photo.image, photo.boxes, photo.predicted)
    return np.stack([interocular_errors(points, photo.labeled) for points in levels])


def time_systems(systems: Sequence[PointSystem], predictor: TorchPredictor, data: Path) -> dict[str, list[float]]:
    """Return the median milliseconds of each system for each number of faces of `MOSAICS`; they take turns."""
    taken: dict[str, list[list[float]]] = {system.name: [[] for _ in MOSAICS] for system in systems}
    for number, shape in enumerate(MOSAICS.values()):
        image = compose_grid(data, *shape)
        found = predictor.predict([image], DetectSettings(), embed=False)[0]
        for turn in range(WARMUP + ROUNDS):
            for system in systems:
                start = time.process_time()
                system.predict_levels(image, found.boxes, found.landmarks)
                if turn >= WARMUP:
                    taken[system.name][number].append(1000 * (time.process_time() - start))
    return {name: [statistics.median(each) for each in own] for name, own in taken.items()}


def error_rows(systems: Sequence[PointSystem], errors: Mapping[str, LevelErrors]) -> list[Row]:
    """Return the rows of the table of errors, one for each level of each system."""
    rows = []
    for system in systems:
        for level in range(len(next(iter(errors.values())).errors[system.name])):
            row: Row = {"points": system.name, "level": str(level + 1) if system.minutes is not None else "–"}
            for name, own in errors.items():
                row |= {f"{name}: {column}": value for column, value in own.columns(system.name, level).items()}
            rows.append(row)
    return rows


def cost_rows(systems: Sequence[PointSystem], predictor: TorchPredictor, data: Path) -> list[Row]:
    """Return the rows of the table of costs, of the trained systems."""
    trained = [system for system in systems if system.minutes is not None]
    times = time_systems(trained, predictor, data)
    return [
        {"points": system.name}
        | {f"ms, faces: {faces}": f"{own:.1f}" for faces, own in zip(MOSAICS, times[system.name], strict=True)}
        | {"parameters": f"{system.parameters:,}", "training, min": f"{system.minutes:.1f}"}
        for system in trained
    ]


def recognition_rows(measured: Mapping[str, Mapping[str, tuple[Metric, Metric]]]) -> list[Row]:
    """Return the rows of the table of accuracies and of their differences from the joint network's points."""
    rows = []
    for name, sets in measured.items():
        row: Row = {"points": name}
        for kind, (accuracy, gain) in sets.items():
            row[kind] = f"{accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]"
            row[f"{kind}: difference"] = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        rows.append(row)
    return rows


def describe(training: TrainingFaces, errors: Mapping[str, LevelErrors], steps: int) -> str:
    """Describe the trainings and the test photos."""
    complete = int(np.isfinite(training.faces.points).all((1, 2)).sum())
    tested = "; ".join(
        f"{name}: {len(own.photos)} faces of {own.num_photos} photos ({own.missed} more were not detected)"
        for name, own in errors.items()
    )
    return (
        f"Trained on {len(training.faces.points):,} faces, {complete:,} of them, which count {REPEATS} times, with "
        f"all five points: {steps:,} "
        f"steps a level of {landmark_training.FACES_PER_STEP} views, one seed, one thread. Tested on {tested}."
    )


def write_table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    columns = list(rows[0]) if rows else []
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join(lines + [f"| {' | '.join(row[column] for column in columns)} |" for row in rows])


def replace_between_markers(document: str, text: str) -> str:
    """Return a document with its text between the marker lines replaced."""
    before, rest = document.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    main()
