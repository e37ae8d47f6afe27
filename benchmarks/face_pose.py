"""Test the claim of FacePoseNet: its pose aligns faces for recognition as well as points, though its points are worse.

    python benchmarks/pts_annotations.py --photos helen/trainset --out build/helen
    python benchmarks/face_pose.py --data ../shared/data --photos build/helen --work build/face_pose

Trains the baseline landmarks_face_pose_net on photos marked by people: those of --photos and scenes/, without their
test part. An interrupted training resumes from --work. Then the frozen joint network embeds each face at its own
points, and at the projected points of the pose that is predicted in its box. Rows:

- LFW's development test as it is, blurred (sigma of 5 % of the face), and shrunk to faces of 30 pixels;
- CFP's two folds as they are, frontal and profile.

Columns: accuracy in folds with 95 % intervals over people, and its difference from that at own points over the same
resampled people. The face of a photo is the detection nearest its center, in the degraded photo; without one its pairs
are wrong for all. Point error: by the distance of the eyes, on the test part of the marked photos with one face, under
the same degradations; `--photos` have five points, scenes/ eyes and nose. Nobody marked points in CFP's profiles.
A last row has the error of the mean face after a fit to the marked points: no pose of it has a lower one.

--baselines adds the landmark cascades that the stage `baselines` trained. --limit takes at most that many pairs of a
set and photos with points: the figures are then partial. Prints Markdown tables.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from face_pose_training import NAME, prepare_scenes, train_network
from face_scaling import resize_by
from mtcnn_stages import Row, print_table, test_photos
from pair_metrics import Metric, Pairs, correct_by_fold, measure_given, score_given, with_intervals
from recognition_pairs import CFP, LFW, read_cfp_pairs, read_lfw_pairs, spread
from recognition_systems import nearest_center, require, stack_rows
from rich.console import Console
from rich.progress import track

from onelook.data.detection_scenes import DetectionImage
from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest
from onelook.detections import Detections
from onelook.errors import OnelookError
from onelook.evaluation.average_precision import match_detections
from onelook.evaluation.landmarks import interocular_errors
from onelook.geometry.boxes import box_sizes
from onelook.geometry.face_pose import fit_poses, project_poses
from onelook.inference.baseline_predictors import open_baselines
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.inference.loading import load_torch_predictor
from onelook.inference.resize import resize_to_longest_side
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.process import configure_process
from onelook.settings import DetectSettings

OWN, RIGID = "own points", "rigid fit to the marked points"
BLUR_SIGMA, SMALL_FACE = 0.05, 30
EPOCHS = 20
MATCH_IOU = 0.5

Degrade = Callable[[np.ndarray, float], tuple[np.ndarray, float]]
"""Maps an image and the size of its face in pixels to the degraded image and the factor of its coordinates."""


def blur(image: np.ndarray, size: float) -> tuple[np.ndarray, float]:
    """Blur an image in proportion to its face."""
    return cv2.GaussianBlur(image, (0, 0), max(BLUR_SIGMA * size, 0.1)), 1.0


def shrink(image: np.ndarray, size: float) -> tuple[np.ndarray, float]:
    """Shrink an image until its face has `SMALL_FACE` pixels."""
    factor = min(SMALL_FACE / max(size, 1.0), 1.0)
    return resize_by(image, factor), factor


CONDITIONS: dict[str, Degrade] = {
    "clean": lambda image, size: (image, 1.0),
    "blurred": blur,
    f"{SMALL_FACE} px": shrink,
}


def main() -> None:
    """Train the network, measure all systems and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw/, cfp_folds_1_2/, scenes/")
    parser.add_argument("--photos", type=Path, required=True, help="folder that pts_annotations.py wrote")
    parser.add_argument("--work", type=Path, required=True, help="folder of scenes, checkpoint and trained network")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--baselines", type=Path, help="folder of further landmark cascades")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the training, 250 steps each")
    parser.add_argument("--limit", type=int, help="most pairs of a set, and most photos with points")
    arguments = parser.parse_args()
    configure_process()
    torch.set_num_threads(1)
    try:
        sources = [arguments.photos, require(arguments.data / "scenes")]
        manifest = prepare_scenes(arguments.work / "scenes", sources)
        network = train_network(arguments.work, manifest, arguments.epochs)
        landmarks: dict[str, LandmarkPredictor] = {NAME: LandmarkPredictor(network)}
        if arguments.baselines is not None:
            opened = open_baselines(arguments.baselines, torch.device("cpu"))
            landmarks |= {name: each for name, each in opened.items() if isinstance(each, LandmarkPredictor)}
        systems = Systems(load_torch_predictor(arguments.model), landmarks)
        if arguments.limit is not None:
            print(f"**Partial: at most {arguments.limit} pairs and photos a set (--limit).**\n")
        print_table(recognition_rows(systems, arguments.data, arguments.limit))
        print()
        print_table(point_rows(systems, manifest, network.level.shape.double().numpy(), arguments.limit))
    except OnelookError as error:
        sys.exit(str(error))


class Systems:
    """The joint network with its own points and with those of landmark baselines.

    Attributes:
        names: of the kinds of points, the network's own first.
    """

    def __init__(self, predictor: TorchPredictor, landmarks: Mapping[str, LandmarkPredictor]) -> None:
        self._predictor, self._landmarks = predictor, landmarks
        self._detect = DetectSettings()
        self.names = [OWN, *landmarks]

    def detect(self, image: np.ndarray) -> Detections:
        """Detect the faces of an image, without embeddings."""
        return self._predictor.predict([image], self._detect, embed=False)[0]

    def points(self, image: np.ndarray, faces: Detections) -> np.ndarray:
        """Return the points (systems, n, 5, 2) of the faces of an image."""
        return np.stack([faces.landmarks, *(each.predict(image, faces.boxes) for each in self._landmarks.values())])

    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """Embed the face nearest the center of an image at all points (systems, d); None without a face."""
        face = nearest_center(self.detect(image), image)
        if not len(face):
            return None
        scaled = resize_to_longest_side(image, self._detect.longest_side)
        ratio = np.array(scaled.shape[1::-1], np.float32) / np.array(image.shape[1::-1], np.float32)
        return self._predictor.embed(scaled, self.points(image, face)[:, 0] * ratio, self._detect)

    def face_size(self, image: np.ndarray) -> float:
        """Return the size of the face nearest the center of an image, or NaN."""
        face = nearest_center(self.detect(image), image)
        return float(box_sizes(face.boxes)[0]) if len(face) else float("nan")


def recognition_rows(systems: Systems, data: Path, limit: int | None) -> list[Row]:
    """Return the rows of the first table."""
    paths, pairs = read_lfw_pairs(require(data / LFW), limit)
    sizes = np.array([systems.face_size(read_image(path)) for path in progress(paths, "face sizes")])
    sizes = np.where(np.isfinite(sizes), sizes, np.nanmedian(sizes))
    rows = []
    for name, degrade in CONDITIONS.items():
        embeddings = embed_photos(systems, paths, sizes, degrade, f"LFW, {name}")
        rows += pair_rows(f"LFW, {name}", systems.names, embeddings, pairs)
    photos, pairs = read_cfp_pairs(require(data / CFP), "FP", limit)
    paths = [photo.path for photo in photos]
    embeddings = embed_photos(systems, paths, np.ones(len(paths)), CONDITIONS["clean"], "CFP")
    return rows + pair_rows("CFP, frontal–profile", systems.names, embeddings, pairs)


def embed_photos(
    systems: Systems, paths: Sequence[Path], sizes: np.ndarray, degrade: Degrade, description: str
) -> np.ndarray:
    """Embed the faces of degraded photos (systems, n, d); NaN without a face."""
    found = []
    for path, size in progress(list(zip(paths, sizes, strict=True)), description):
        found.append(systems.embed(degrade(read_image(path), float(size))[0]))
    rows = [
        stack_rows([None if each is None else each[number] for each in found]) for number in range(len(systems.names))
    ]
    return np.stack(rows)


def pair_rows(title: str, names: Sequence[str], embeddings: np.ndarray, pairs: Pairs) -> list[Row]:
    """Return a row for each kind of points."""
    missing = int(np.isnan(embeddings[0, :, 0]).sum())
    scores = [score_given(each, pairs) for each in embeddings]
    rows = []
    for name, own in zip(names, scores, strict=True):
        measured = measure_given(own, pairs)
        row = {"pairs": title, "points": name}
        row |= {column: show(measured[column]) for column in ("accuracy", "TAR at 1 % FAR")}
        row["accuracy − own points"] = "–" if name == OWN else show(accuracy_difference(own, scores[0], pairs))
        rows.append(row | {"not found": f"{missing} of {embeddings.shape[1]}"})
    return rows


def accuracy_difference(scores: np.ndarray, own: np.ndarray, pairs: Pairs) -> Metric:
    """Compute the difference of two accuracies on the same pairs, with an interval over people."""
    gain = np.subtract(*(correct_by_fold(each, pairs.same, pairs.folds).astype(np.float64) for each in (scores, own)))

    def metrics(weights: np.ndarray) -> dict[str, float]:
        of_person = weights[pairs.people]
        of_pair = np.where(pairs.same, of_person[:, 0], of_person.prod(axis=1))
        return {"difference": float(of_pair @ gain / of_pair.sum()) if of_pair.any() else float("nan")}

    return with_intervals(metrics, 1 + int(pairs.people.max()))["difference"]


def point_rows(systems: Systems, manifest: Manifest, shape: np.ndarray, limit: int | None) -> list[Row]:
    """Return the rows of the second table: point errors of the faces that are found under all conditions.

    Args:
        systems: the kinds of points.
        manifest: of the marked photos.
        shape: (5, 3), the points of the face that is projected; a last row fits them to the marked points.
        limit: most photos of a kind.
    """
    photos = [photo for photo in test_photos(manifest) if len(photo.faces) == 1]
    has_five = np.array([np.isfinite(photo.faces[0].landmarks).all() for photo in photos], bool)
    sets = {"five points": spread([p for p, five in zip(photos, has_five, strict=True) if five], limit)}
    sets["eyes and nose"] = spread([p for p, five in zip(photos, has_five, strict=True) if not five], limit)
    rows: list[Row] = []
    for title, own in sets.items():
        errors = np.array([photo_errors(systems, photo) for photo in progress(own, title)])
        errors = errors.reshape(-1, len(CONDITIONS), len(systems.names))
        is_found = np.isfinite(errors).all((1, 2))
        for column, name in enumerate(systems.names):
            row = {"marked": f"{title}, {is_found.sum()} of {len(own)} photos", "points": name}
            means = errors[is_found, :, column].mean(0) if is_found.any() else np.full(len(CONDITIONS), np.nan)
            rows.append(row | {key: f"{mean:.4f}" for key, mean in zip(CONDITIONS, means, strict=True)})
    fitted = {"marked": f"five points, {len(sets['five points'])} photos", "points": RIGID}
    return [*rows, fitted | {key: f"{rigid_error(sets['five points'], shape):.4f}" for key in CONDITIONS}]


def rigid_error(photos: Sequence[DetectionImage], shape: np.ndarray) -> float:
    """Return the mean interocular error of the points (5, 3) of a face that is fitted to the marked points."""
    marked = np.array([photo.faces[0].landmarks for photo in photos], np.float64).reshape(-1, 5, 2)
    poses = torch.from_numpy(fit_poses(marked, shape))
    projected = project_poses(poses, torch.from_numpy(shape)).numpy()
    return float(interocular_errors(projected, marked).mean()) if len(photos) else float("nan")


def photo_errors(systems: Systems, photo: DetectionImage) -> np.ndarray:
    """Return the interocular errors (conditions, systems) of the only face of a photo; NaN where it is not found."""
    image, face = read_image(photo.path), photo.faces[0]
    errors = np.full((len(CONDITIONS), len(systems.names)), np.nan)
    for row, degrade in enumerate(CONDITIONS.values()):
        degraded, factor = degrade(image, float(box_sizes(face.box)))
        found = systems.detect(degraded)
        is_first = match_detections(found.boxes, face.box[None] * factor, MATCH_IOU)[1]
        if is_first.any():
            points = systems.points(degraded, found)[:, is_first][:, 0]
            errors[row] = interocular_errors(points, np.repeat(face.landmarks[None] * factor, len(points), 0))
    return errors


def show(metric: Metric) -> str:
    """Format a value with its interval."""
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def progress(items: Sequence, description: str):
    """Return the items with a progress bar on stderr."""
    return track(items, description=description, transient=True, console=Console(stderr=True))


if __name__ == "__main__":
    main()
