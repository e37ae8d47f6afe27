"""Check the promised false-positive identification rate (FPIR) on several sets, at the gallery's own decision.

    python benchmarks/unknown.py --data ../shared/data [--utkface FOLDER] [--model build/model] [--cache FOLDER]
        [--out FOLDER]

Galleries of one photo per person are drawn anew `DRAWS` times. Every other photo is a probe: of a stranger, or of an
enrolled person. Where few photos of strangers are left, the photos of each enrolled person are also probes of the
gallery without that person. Sets, none of which was trained or fitted on:

- LFW, `peopleDevTest.txt`, as it is and with probes reduced to 32 and 24 pixels;
- CFP, folds 1 and 2: frontal photos enroll; frontal and profile probes; also among people of LFW;
- UTKFace, the photos that neither train nor calibrate (`onelook.data.held_out`): galleries of one age, sex and origin,
  all adults together, and ten children among adults of LFW. Its photos have no names: a second photo of a person counts
  as a stranger, so that these rates are upper bounds.

Each row has two lines: the calibration without `open_set`, that is one threshold for every face, and with it. "Not
sure" is the fraction of strangers with that answer. The calibration error is that of the confidence. Prints a Markdown
table; intervals are of 95 %, over people. With --cache the embeddings are stored in the folder and read from it the
next time; with --out the reliability diagrams of LFW are drawn.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from device_option import add_device_option, load_predictor
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.data.readers.lfw import read_lfw
from onelook.evaluation.calibration_sets import embed_photos, find_photos, parse_ages, resize_face
from onelook.evaluation.open_set_calibration import ReliabilityDiagram, bin_by_confidence
from onelook.evaluation.plots import plot_reliability, save_figure
from onelook.face_quality import Quality
from onelook.gallery.backend import SearchResult
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.faiss_index import TemplateIndex
from onelook.gallery.identification import Identification, identify_faces
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.settings import LfwSettings

SIZES, DRAWS, RESAMPLES, SEED = (50, 100, 1000), 5, 300, 2026
PROBES = 1500  # drawn from a larger set
MIN_STRANGERS = 200  # photos, below which enrolled people are strangers to a gallery without them
GROUP_GALLERY, MIN_GROUP = 50, 80
LOW_RESOLUTION, LOW_RESOLUTION_STEP = (32.0, 24.0), 6  # pixels; every sixth photo
AGE_BANDS = {"3–12": (3, 12), "13–19": (13, 19), "20–59": (20, 59), "60 and older": (60, 120)}
SEXES, ORIGINS = ("men", "women"), ("European", "African", "East Asian", "Indian", "other")


@dataclass(frozen=True, eq=False)
class Faces:
    """Embeddings (n, d) float32, n qualities, and the person and the photo of each face, (n,) strings."""

    embeddings: np.ndarray
    qualities: np.ndarray
    people: np.ndarray
    photos: np.ndarray

    def select(self, rows: np.ndarray) -> "Faces":
        """Return some of the faces."""
        return Faces(self.embeddings[rows], self.qualities[rows], self.people[rows], self.photos[rows])


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Answers (n,) by person: a name, the right one, not sure, nearest person right: bool; confidence: float."""

    people: np.ndarray
    named: np.ndarray
    right: np.ndarray
    unsure: np.ndarray
    is_nearest: np.ndarray
    confidence: np.ndarray


def main() -> None:
    """Embed the sets, draw galleries and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/ and cfp_folds_1_2/")
    parser.add_argument("--utkface", type=Path, help="folder of UTKFace photos; by default faces/utk of --data")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--cache", type=Path, help="folder that caches the embeddings")
    parser.add_argument("--out", type=Path, help="folder for the reliability diagrams of LFW")
    add_device_option(parser)
    arguments = parser.parse_args()
    predictor = load_predictor(arguments.model, arguments.device)
    metadata = read_calibrated_metadata(
        arguments.model / "calibration.json", predictor.fingerprint, predictor.embedding_size, managed=False
    )
    utkface = arguments.utkface or arguments.data / "faces" / "utk"
    sets = {
        name: embed_set(name, photos, predictor, metadata, arguments.cache)
        for name, photos in list_photos(arguments.data, utkface).items()
    }
    models = {"one threshold": metadata.model_copy(update={"open_set": None}), "by face": metadata}
    print("| probes | gallery | threshold | FPIR, 1 % promised | not sure | DIR | calibration error |")
    print("|---|---|---|---|---|---|---|")
    for label, size, probes, enrolled, others in list_rows(sets):
        for name, model in models.items():
            strangers, mates = run(model, size, probes, enrolled, others)
            cells = [interval(strangers, strangers.named), f"{strangers.unsure.mean():.3f}"]
            cells += ["", ""]
            if len(mates.people):
                diagram = bin_confidences(strangers, mates)
                cells[2:] = interval(mates, mates.right), f"{diagram.expected_calibration_error():.3f}"
                if arguments.out is not None and label == "LFW" and model is metadata:
                    arguments.out.mkdir(parents=True, exist_ok=True)
                    save_figure(arguments.out / f"reliability_{size}.png", plot_reliability(diagram, f"{size} people"))
            people = size if others is None else f"{size} and {len(others.people)} of LFW"
            print(f"| {label} | {people} | {name} | {' | '.join(cells)} |", flush=True)


def list_photos(data: Path, utkface: Path) -> dict[str, list[tuple[str, Path, float | None]]]:
    """Return person, photo and face size (None: as it is) of each set."""
    reading = read_lfw(LfwSettings(path=str(data / "lfw")))
    splits = reading.official_splits or {}
    test = [(each.identity, each.path) for each in reading.images if splits[each.identity] == "test"]
    cfp = sorted((data / "cfp_folds_1_2" / "images").glob("*/*/*.jpg"))
    return {
        "lfw": [(*each, None) for each in test],
        **{f"lfw_{size:.0f}": [(*each, size) for each in test[::LOW_RESOLUTION_STEP]] for size in LOW_RESOLUTION},
        "cfp": [(path.parent.parent.name, path, None) for path in cfp],
        "utkface": [(path.name, path, None) for path in find_photos(utkface, "measure")],
    }


def embed_set(
    name: str,
    photos: list[tuple[str, Path, float | None]],
    predictor: TorchPredictor,
    metadata: GalleryMetadata,
    cache: Path | None,
) -> Faces:
    """Embed the photos of a set, or read their embeddings from the cache."""
    file = None if cache is None else cache / f"{name}.npz"
    if file is not None and file.is_file():
        with np.load(file, allow_pickle=False) as kept:
            measured = [
                Quality(**dict(zip(kept["keys"].tolist(), row, strict=True))) for row in kept["qualities"].tolist()
            ]
            return Faces(kept["embeddings"], np.array(measured, object), kept["people"], kept["photos"])
    person = {path: who for who, path, _ in photos}
    progress = track(photos, description=name, transient=True, console=Console(stderr=True))
    found = embed_photos(predictor, metadata.detect, resized(progress, predictor, metadata))
    people, paths = (np.array(each) for each in ([person[path] for path in found.paths], list(map(str, found.paths))))
    if file is not None:
        keys = list(Quality.model_fields)
        values = [[getattr(quality, key) for key in keys] for quality in found.qualities]
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, embeddings=found.embeddings, qualities=values, keys=keys, people=people, photos=paths)
    return Faces(found.embeddings, np.array(found.qualities, object), people, paths)


def resized(photos, predictor: TorchPredictor, metadata: GalleryMetadata) -> Iterator[tuple[Path, np.ndarray]]:
    """Yield the photos, reduced to their face size."""
    for _, path, size in photos:
        image = read_image(path)
        if size is None:
            yield path, image
        else:
            natural = embed_photos(predictor, metadata.detect, [(path, image)]).qualities
            if natural:
                yield path, resize_face(image, natural[0].size, size)


def list_rows(sets: dict[str, Faces]) -> Iterator[tuple[str, int, Faces, Faces, Faces | None]]:
    """Yield label, people drawn, probes, faces to enroll, and other enrolled faces of each row."""
    lfw, cfp, utkface = sets["lfw"], sets["cfp"], sets["utkface"]
    adults = lfw.select(np.unique(lfw.people, return_index=True)[1])
    for size in SIZES:
        yield "LFW", size, lfw, lfw, None
    for low in LOW_RESOLUTION:
        yield f"LFW, {low:.0f} px", 100, sets[f"lfw_{low:.0f}"], lfw, None
    is_profile = np.array([Path(photo).parent.name == "profile" for photo in cfp.photos])
    frontal, profile = cfp.select(~is_profile), cfp.select(is_profile)
    for size in SIZES[:2]:
        yield "CFP", size, frontal, frontal, None
        yield "CFP, profile", size, profile, frontal, None
    yield "CFP", 50, frontal, frontal, adults.select(np.arange(SIZES[2] - 50))
    ages, groups = parse_ages([Path(photo) for photo in utkface.photos])
    for band, (youngest, oldest) in AGE_BANDS.items():
        for sex in range(len(SEXES)):
            for origin in range(len(ORIGINS)):
                group = (ages >= youngest) & (ages <= oldest) & (groups == f"{sex}_{origin}")
                if group.sum() >= MIN_GROUP:
                    chosen = utkface.select(group)
                    yield f"UTKFace, {band}, {SEXES[sex]}, {ORIGINS[origin]}", GROUP_GALLERY, chosen, chosen, None
    grown, children = utkface.select(ages >= 20), utkface.select((ages >= 3) & (ages <= 12))
    yield "UTKFace, adults", 100, grown, grown, None
    if len(children.people) >= MIN_GROUP:
        yield "UTKFace, children", 10, children, children, adults.select(np.arange(90))


def run(
    metadata: GalleryMetadata, size: int, probes: Faces, pool: Faces, others: Faces | None
) -> tuple[Outcomes, Outcomes]:
    """Draw galleries, and return the outcomes of strangers and of enrolled people."""
    strangers, mates = [], []
    for draw in range(DRAWS):
        rng = np.random.default_rng([SEED, size, draw])
        people = rng.permutation(np.unique(pool.people))[:size]
        shuffled = pool.select(rng.permutation(len(pool.people)))
        first = dict(zip(shuffled.people[::-1], range(len(shuffled.people))[::-1], strict=True))
        enrolled = shuffled.select(np.array([first[who] for who in people]))
        rest = probes.select(rng.permutation(np.flatnonzero(~np.isin(probes.photos, enrolled.photos)))[:PROBES])
        is_mate = np.isin(rest.people, people)
        strangers.append(answer(metadata, rest.select(~is_mate), enrolled, others))
        mates.append(answer(metadata, rest.select(is_mate), enrolled, others))
        if (~is_mate).sum() < MIN_STRANGERS:
            for who in people:
                without = enrolled.select(enrolled.people != who)
                strangers.append(answer(metadata, rest.select(rest.people == who), without, others))
    return merge(strangers), merge(mates)


def answer(metadata: GalleryMetadata, probes: Faces, enrolled: Faces, others: Faces | None) -> Outcomes:
    """Identify probes as a gallery does."""
    names, templates = enrolled.people, enrolled.embeddings
    if others is not None:
        names = np.concatenate([names, others.people])
        templates = np.concatenate([templates, others.embeddings])
    index = TemplateIndex(templates, names.tolist())
    ranking = index.search(probes.embeddings)
    moments = index.moments.of_others(probes.embeddings, ranking.similarities[:, 0])
    found = SearchResult(ranking, index.names, len(index.names), moments)
    faces: list[Identification] = identify_faces(found, probes.embeddings, probes.qualities.tolist(), metadata)
    return Outcomes(
        probes.people,
        np.array([face.name is not None for face in faces], bool),
        np.array([face.name == who for face, who in zip(faces, probes.people, strict=True)], bool),
        np.array([face.reason is not None for face in faces], bool),
        np.array([face.nearest == who for face, who in zip(faces, probes.people, strict=True)], bool),
        np.array([face.confidence for face in faces], np.float64),
    )


def bin_confidences(strangers: Outcomes, mates: Outcomes) -> ReliabilityDiagram:
    """Bin the confidence that the nearest person is right; strangers and enrolled people have the same weight."""
    weights = np.repeat(
        [0.5 / len(strangers.people), 0.5 / len(mates.people)], [len(strangers.people), len(mates.people)]
    )
    confidence = np.concatenate([strangers.confidence, mates.confidence])
    return bin_by_confidence(confidence, np.concatenate([strangers.is_nearest, mates.is_nearest]), weights)


def merge(outcomes: list[Outcomes]) -> Outcomes:
    """Concatenate outcomes."""
    return Outcomes(
        *(np.concatenate([getattr(each, key) for each in outcomes]) for key in Outcomes.__dataclass_fields__)
    )


def interval(outcomes: Outcomes, values: np.ndarray) -> str:
    """Return the mean with its interval over the people."""
    _, person = np.unique(outcomes.people, return_inverse=True)
    sums, counts = np.bincount(person, values), np.bincount(person)
    weights = np.random.default_rng(SEED).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    low, high = np.quantile((weights @ sums) / np.maximum(weights @ counts, 1), [0.025, 0.975])
    return f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"


if __name__ == "__main__":
    main()
