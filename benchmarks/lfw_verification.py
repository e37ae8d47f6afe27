"""Are two photos of the same person? LFW's test pairs, end to end from the full photo.

    python benchmarks/lfw_verification.py --data ../shared/data [--model build/model] [--pairs LIST] [--out build/lfw]

Three methods look at the same photos in one run: the joint network in one pass, the teacher (MobileFaceNet through
onnxruntime, with the mirror image, on crops aligned by our own detections), and eigenfaces learned on photos of the
training people. The face nearest the middle of a photo is its person; a photo without a face makes its pairs wrong.
Prints a Markdown table, and with --out writes the ROC, the histogram of similarities and the hardest wrong pairs.
Networks here are trained on people of `peopleDevTrain.txt`: none of them is in the development test pairs, and of other
lists, such as the ten folds of `pairs.txt`, the pairs with one of them are left out.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image, write_image
from onelook.data.readers.lfw import photo_path, read_lfw, read_pairs
from onelook.drawing import tile
from onelook.evaluation.eigenfaces import SIDE, Eigenfaces, to_gray
from onelook.evaluation.folds import best_threshold, fold_accuracy, right, tar_at_far
from onelook.evaluation.plots import OF_PAIRS, draw_rates, draw_similarities, save_picture
from onelook.geometry.alignment import CROP, align_crop
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.model.teacher import Teacher
from onelook.settings import DetectSettings, LfwSettings, TeacherSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
TEACHER = "weights/mobilefacenet.onnx"
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
EIGENFACES, LEARNED_ON = 200, 2000  # components, photos of training people
MIDDLE = 125  # of an LFW photo, in pixels
SHOWN = 24  # wrong pairs in the picture


def main() -> None:
    """Score the pairs by each method, print the table, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/ and weights/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--pairs", default="pairsDevTest.txt", help="a list of pairs in lfw/")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    root = arguments.data / "lfw"
    pairs = pairs_of_strangers(root, arguments.pairs)
    same = np.array([kind for _, _, kind in pairs])
    photos = sorted({photo_path(root, *photo) for one, two, _ in pairs for photo in (one, two)})
    rows = {path: row for row, path in enumerate(photos)}
    places = np.array([[rows[photo_path(root, *photo)] for photo in pair[:2]] for pair in pairs])
    looker = load_torch_predictor(arguments.model)
    found, landmarks, embeddings = look_at(looker, photos)
    scores = {
        "onelook": embeddings,
        "teacher": teacher_embeddings(arguments.data / TEACHER, photos, landmarks, found),
        "eigenfaces": eigenface_embeddings(looker, training_photos(root), photos, landmarks, found),
    }
    print("| method | accuracy, ten folds | TAR at 1 % FAR | TAR at 0.1 % FAR | photos without a face |")
    print("|---|---|---|---|---|")
    similarities = {}
    for name, vectors in scores.items():
        similarities[name] = (vectors[places[:, 0]] * vectors[places[:, 1]]).sum(axis=1)
        mean, error = fold_accuracy(similarities[name], same)
        tars = [f"{tar_at_far(similarities[name], same, far):.3f}" for far in (0.01, 0.001)]
        print(f"| {name} | {mean:.4f} ± {error:.4f} | {' | '.join(tars)} | {(~found).sum()} of {len(found)} |")
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        draw(arguments.out, similarities, same, [[photos[row] for row in pair] for pair in places])


def pairs_of_strangers(root: Path, name: str) -> list[tuple[tuple[str, int], tuple[str, int], bool]]:
    """The pairs of a list of which nobody is a training person, in its order; says how many."""
    pairs = read_pairs(root / name)
    official = read_lfw(LfwSettings(path=str(root))).official or {}
    left = [pair for pair in pairs if "train" not in {official.get(person) for person, _ in pair[:2]}]
    print(f"{name}: {len(left)} of {len(pairs)} pairs, those of people in no training\n")
    return left


def look_at(looker: TorchPredictor, photos: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each photo's face nearest the middle: found (n,) bool, landmarks (n, 5, 2), embeddings (n, d); NaN if none."""
    landmarks = np.full((len(photos), 5, 2), np.nan, np.float32)
    embeddings = np.full((len(photos), looker.embedding_size), np.nan, np.float32)
    for row, path in enumerate(track(photos, description="onelook", transient=True, console=Console(stderr=True))):
        seen = looker.predict([read_image(path)], DETECT)[0]
        if len(seen):
            centers = seen.boxes.reshape(-1, 2, 2).mean(axis=1)
            nearest = int(np.argmin(np.linalg.norm(centers - MIDDLE, axis=1)))
            landmarks[row], embeddings[row] = seen.landmarks[nearest], seen.embeddings[nearest]
    return np.isfinite(landmarks).all((1, 2)), landmarks, embeddings


def teacher_embeddings(path: Path, photos: Sequence[Path], landmarks: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The teacher's embeddings (n, d) of the same faces, NaN where none was found."""
    teacher = Teacher(TeacherSettings(path=str(path), mean=MEAN, deviation=DEVIATION, start_tail=False))
    return by_crops(photos, landmarks, found, CROP, teacher.embed, "teacher")


def training_photos(root: Path) -> list[Path]:
    """Some photos of the official training people, spread evenly over them."""
    reading = read_lfw(LfwSettings(path=str(root)))
    official = reading.official or {}
    own = [portrait.path for portrait in reading.portraits if official[portrait.identity] == "train"]
    return own[:: max(1, len(own) // LEARNED_ON)][:LEARNED_ON]


def eigenface_embeddings(
    looker: TorchPredictor, training: Sequence[Path], photos: Sequence[Path], landmarks: np.ndarray, found: np.ndarray
) -> np.ndarray:
    """Eigenfaces' embeddings (n, d) of the same faces, NaN where none was found."""
    seen, points, _ = look_at(looker, training)
    crops = [align_crop(read_image(training[row]), points[row], SIDE) for row in np.flatnonzero(seen)]
    floor = Eigenfaces(to_gray(np.array(crops)), EIGENFACES, seed=0)
    return by_crops(photos, landmarks, found, SIDE, lambda crop: floor.embed(to_gray(crop)), "eigenfaces")


def by_crops(
    photos: Sequence[Path],
    landmarks: np.ndarray,
    found: np.ndarray,
    side: int,
    embed: Callable[[np.ndarray], np.ndarray],
    name: str,
) -> np.ndarray:
    """What `embed` says of aligned crops (1, side, side, 3) of the faces found; rows of NaN for the others."""
    rows: list[np.ndarray] = []
    for row in track(np.flatnonzero(found), description=name, transient=True, console=Console(stderr=True)):
        rows.append(embed(align_crop(read_image(photos[row]), landmarks[row], side)[None])[0])
    vectors = np.full((len(photos), len(rows[0])), np.nan, np.float32)
    vectors[found] = rows
    return vectors


def draw(out: Path, similarities: dict[str, np.ndarray], same: np.ndarray, photos: list[list[Path]]) -> None:
    """The ROC of the methods, onelook's similarities, and its hardest wrong pairs with their similarity."""
    rates = np.geomspace(0.002, 1, 200)
    curves = {
        name: np.array([tar_at_far(scores, same, rate) for rate in rates]) for name, scores in similarities.items()
    }
    title = "Verification on LFW: pairs of people in no training"
    across, upwards = "false-accept rate of impostor pairs", "true-accept rate of genuine pairs"
    save_picture(out / "roc.png", draw_rates(rates, curves, title=title, across=across, upwards=upwards))
    scores = similarities["onelook"]
    threshold = best_threshold(scores, same)
    found = np.isfinite(scores)
    histogram = draw_similarities(scores[found & same], scores[found & ~same], threshold, title, OF_PAIRS)
    save_picture(out / "similarities.png", histogram)
    wrong = np.flatnonzero(found & ~right(scores, same, threshold))
    wrong = wrong[np.argsort(-np.abs(scores[wrong] - threshold))][:SHOWN]
    pictures = [np.concatenate([read_image(path) for path in photos[pair]], axis=1) for pair in wrong]
    if pictures:
        write_image(out / "wrong_pairs.png", tile(pictures, columns=4, width=2000))
    for pair in wrong:
        kind = "same" if same[pair] else "different"
        print(f"wrong: {' '.join(path.stem for path in photos[pair])} ({kind}, similarity {scores[pair]:.3f})")


if __name__ == "__main__":
    main()
