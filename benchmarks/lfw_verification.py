"""Measure verification on LFW's test pairs, end to end from the full photo.

    python benchmarks/lfw_verification.py --data ../shared/data [--model build/model] [--pairs LIST] [--out build/lfw]
    python benchmarks/lfw_verification.py --bin agedb_30.bin [--model build/model] [--device cuda]

Three methods get the same photos in one run:

- the joint network in one pass;
- the teacher, MobileFaceNet through onnxruntime, with the mirror image, on crops aligned by our own detections;
- eigenfaces learned on photos of the training people.

The face nearest the center of a photo is its person; a photo without a face makes its pairs wrong. Prints a Markdown
table, and with --out writes the ROC, the histogram of similarities and the hardest wrong pairs.

The networks are trained on people of `peopleDevTrain.txt`. None of them is in the development test pairs.
Pairs of other lists, such as the ten folds of `pairs.txt`, are left out where one of them appears.

With --bin, prints only the accuracy of the joint network on the pairs of an InsightFace verification set.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from device_option import add_device_option, load_predictor
from recognizers import IMAGENET_MEAN, IMAGENET_STD, MOBILEFACENET
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image, write_image
from onelook.data.readers.lfw import photo_path, read_lfw, read_pairs
from onelook.data.readers.verification_bin import read_verification_bin
from onelook.drawing import tile_images
from onelook.evaluation.eigenfaces import SIDE, Eigenfaces, to_gray
from onelook.evaluation.plots import VERIFICATION_LABELS, plot_rates, plot_similarities, save_figure
from onelook.evaluation.verification import best_threshold, correct_pairs, fold_accuracy, tar_at_far
from onelook.geometry.alignment import CROP_SIZE, align_crop
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.model.recognizer import Recognizer
from onelook.settings import DetectSettings, LfwSettings, RecognizerSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
EIGENFACES, LEARNED_ON = 200, 2000  # components, photos of training people
CENTER = 125  # of an LFW photo, in pixels
SHOWN = 24  # wrong pairs in the picture


def main() -> None:
    """Score the pairs by each method, print the table, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder that holds lfw/ and weights/")
    source.add_argument("--bin", type=Path, help="verification set of InsightFace, such as agedb_30.bin")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--pairs", default="pairsDevTest.txt", help="a list of pairs in lfw/")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    add_device_option(parser)
    arguments = parser.parse_args()
    if arguments.bin is not None:
        print_bin_accuracy(load_predictor(arguments.model, arguments.device), arguments.bin)
        return
    root = arguments.data / "lfw"
    pairs = pairs_without_training_people(root, arguments.pairs)
    same = np.array([kind for _, _, kind in pairs])
    photos = sorted({photo_path(root, *photo) for one, two, _ in pairs for photo in (one, two)})
    rows = {path: row for row, path in enumerate(photos)}
    places = np.array([[rows[photo_path(root, *photo)] for photo in pair[:2]] for pair in pairs])
    predictor = load_predictor(arguments.model, arguments.device)
    found, landmarks, embeddings = embed_center_faces(predictor, photos)
    scores = {
        "onelook": embeddings,
        "teacher": teacher_embeddings(arguments.data / MOBILEFACENET, photos, landmarks, found),
        "eigenfaces": eigenface_embeddings(predictor, training_photos(root), photos, landmarks, found),
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


def print_bin_accuracy(predictor: TorchPredictor, path: Path) -> None:
    """Print the ten-fold accuracy on a verification set of InsightFace (.bin)."""
    pairs = read_verification_bin(path)
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / f"{index:05d}.png" for index in range(len(pairs.encoded))]
        for photo, image in zip(photos, pairs.images(), strict=True):
            write_image(photo, image)
        found, _, embeddings = embed_center_faces(predictor, photos)
    mean, error = fold_accuracy((embeddings[::2] * embeddings[1::2]).sum(axis=1), pairs.same)
    print(f"{path.name}: accuracy {mean:.4f} ± {error:.4f}, {(~found).sum()} of {len(found)} images without a face")


def pairs_without_training_people(root: Path, name: str) -> list[tuple[tuple[str, int], tuple[str, int], bool]]:
    """Return the pairs of a list without training people, in its order."""
    pairs = read_pairs(root / name)
    official = read_lfw(LfwSettings(path=str(root))).official_splits or {}
    left = [pair for pair in pairs if "train" not in {official.get(person) for person, _ in pair[:2]}]
    print(f"{name}: {len(left)} of {len(pairs)} pairs, those of people in no training\n")
    return left


def embed_center_faces(predictor: TorchPredictor, photos: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detect and embed the face nearest the center of each photo.

    Returns:
        found (n,) bool, landmarks (n, 5, 2) and embeddings (n, d); NaN where no face was found.
    """
    landmarks = np.full((len(photos), 5, 2), np.nan, np.float32)
    embeddings = np.full((len(photos), predictor.embedding_size), np.nan, np.float32)
    for row, path in enumerate(track(photos, description="onelook", transient=True, console=Console(stderr=True))):
        image = read_image(path)
        detections = predictor.predict([image], DETECT)[0]
        if len(detections):
            centers = detections.boxes.reshape(-1, 2, 2).mean(axis=1)
            nearest = int(np.argmin(np.linalg.norm(centers - np.array(image.shape[1::-1]) / 2, axis=1)))
            landmarks[row], embeddings[row] = detections.landmarks[nearest], detections.embeddings[nearest]
    return np.isfinite(landmarks).all((1, 2)), landmarks, embeddings


def teacher_embeddings(path: Path, photos: Sequence[Path], landmarks: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The teacher's embeddings (n, d) of the same faces, NaN where none was found."""
    teacher = Recognizer(RecognizerSettings(path=str(path), mean=IMAGENET_MEAN, std=IMAGENET_STD))
    return embed_crops(photos, landmarks, found, CROP_SIZE, teacher.embed, "teacher")


def training_photos(root: Path) -> list[Path]:
    """Some photos of the official training people, spread evenly over them."""
    reading = read_lfw(LfwSettings(path=str(root)))
    official = reading.official_splits or {}
    own = [portrait.path for portrait in reading.images if official[portrait.identity] == "train"]
    return own[:: max(1, len(own) // LEARNED_ON)][:LEARNED_ON]


def eigenface_embeddings(
    predictor: TorchPredictor,
    training: Sequence[Path],
    photos: Sequence[Path],
    landmarks: np.ndarray,
    found: np.ndarray,
) -> np.ndarray:
    """Eigenfaces' embeddings (n, d) of the same faces, NaN where none was found."""
    detections, points, _ = embed_center_faces(predictor, training)
    crops = [align_crop(read_image(training[row]), points[row], SIDE) for row in np.flatnonzero(detections)]
    floor = Eigenfaces(to_gray(np.array(crops)), EIGENFACES, seed=0)
    return embed_crops(photos, landmarks, found, SIDE, lambda crop: floor.embed(to_gray(crop)), "eigenfaces")


def embed_crops(
    photos: Sequence[Path],
    landmarks: np.ndarray,
    found: np.ndarray,
    side: int,
    embed: Callable[[np.ndarray], np.ndarray],
    name: str,
) -> np.ndarray:
    """Return `embed` of the aligned crops (1, side, side, 3) of found faces.

    Rows of the other photos are NaN.
    """
    rows: list[np.ndarray] = []
    for row in track(np.flatnonzero(found), description=name, transient=True, console=Console(stderr=True)):
        rows.append(embed(align_crop(read_image(photos[row]), landmarks[row], side)[None])[0])
    vectors = np.full((len(photos), len(rows[0])), np.nan, np.float32)
    vectors[found] = rows
    return vectors


def draw(out: Path, similarities: dict[str, np.ndarray], same: np.ndarray, photos: list[list[Path]]) -> None:
    """Draw the ROC curves, the similarity histogram and the hardest wrong pairs."""
    rates = np.geomspace(0.002, 1, 200)
    curves = {
        name: np.array([tar_at_far(scores, same, rate) for rate in rates]) for name, scores in similarities.items()
    }
    title = "Verification on LFW: pairs of people in no training"
    xlabel, ylabel = "false-accept rate of impostor pairs", "true-accept rate of genuine pairs"
    save_figure(out / "roc.png", plot_rates(rates, curves, title=title, xlabel=xlabel, ylabel=ylabel))
    scores = similarities["onelook"]
    threshold = best_threshold(scores, same)
    found = np.isfinite(scores)
    histogram = plot_similarities(scores[found & same], scores[found & ~same], threshold, title, VERIFICATION_LABELS)
    save_figure(out / "similarities.png", histogram)
    wrong = np.flatnonzero(found & ~correct_pairs(scores, same, threshold))
    wrong = wrong[np.argsort(-np.abs(scores[wrong] - threshold))][:SHOWN]
    pictures = [np.concatenate([read_image(path) for path in photos[pair]], axis=1) for pair in wrong]
    if pictures:
        write_image(out / "wrong_pairs.png", tile_images(pictures, columns=4, width=2000))
    for pair in wrong:
        kind = "same" if same[pair] else "different"
        print(f"wrong: {' '.join(path.stem for path in photos[pair])} ({kind}, similarity {scores[pair]:.3f})")


if __name__ == "__main__":
    main()
