"""Photos of held-out people for the calibration of the open-set decision, and the whole calibration on them.

One face counts in each photo: the one nearest the center. Of the photos of people without names, an eighth calibrates
(`onelook.data.held_out`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from onelook.data.held_out import Use, has_use
from onelook.data.image_io import read_image
from onelook.errors import DataError
from onelook.evaluation.open_set_fit import FaceSet, fit_impostors, fit_young_faces
from onelook.evaluation.quality_limits import fit_quality_limits
from onelook.face_quality import Quality, measure_face
from onelook.inference.predictor import Predictor
from onelook.open_set import ImpostorModel, OpenSetModel
from onelook.score_normalization import ImpostorPrior, leave_one_out_moments
from onelook.settings import DetectSettings

DEGRADED_SIZES, MAX_BLUR = (14.0, 100.0), 0.06
"""Face sizes in pixels that photos are reduced to, uniform in the logarithm; largest standard deviation of the blur, as
a fraction of the face size."""
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, eq=False)
class EmbeddedPhotos:
    """The face of each photo that shows one.

    Attributes:
        paths: n photos.
        embeddings: (n, d) float32.
        qualities: n qualities.
    """

    paths: tuple[Path, ...]
    embeddings: np.ndarray
    qualities: tuple[Quality, ...]


def find_photos(folder: Path, use: Use) -> list[Path]:
    """Find the photos below a folder that calibrate, or those that measure, sorted.

    Raises:
        DataError: there is none.
    """
    photos = [path for path in _find_images(folder) if has_use(path.name, use)]
    if not photos:
        raise DataError(f"{folder}: contains no photo; name a folder of photos with one face each")
    return photos


def find_named_photos(folder: Path) -> list[tuple[str, Path]]:
    """Find the photos below a folder, each in a directory named like the person, sorted.

    Raises:
        DataError: there is none.
    """
    photos = [(path.parent.name, path) for path in _find_images(folder)]
    if not photos:
        raise DataError(f"{folder}: contains no photo; name a folder with one directory per person")
    return photos


def embed_photos(
    predictor: Predictor, detect: DetectSettings, photos: Iterable[tuple[Path, np.ndarray]]
) -> EmbeddedPhotos:
    """Embed the face nearest the center of each photo; photos without a face are left out.

    Args:
        predictor: the model.
        detect: detection settings.
        photos: path and image, RGB uint8 (H, W, 3), of each.
    """
    paths, embeddings, qualities = [], [], []
    for path, image in photos:
        (found,) = predictor.predict([image], detect)
        if len(found) == 0:
            continue
        offsets = found.boxes.reshape(-1, 2, 2).mean(axis=1) - np.array(image.shape[1::-1]) / 2
        face = int(np.linalg.norm(offsets, axis=1).argmin())
        score = float(found.scores[face])
        paths.append(path)
        embeddings.append(found.embeddings[face])
        qualities.append(measure_face(image, found.boxes[face], found.landmarks[face], score, detect.longest_side))
    rows = np.asarray(embeddings, np.float32).reshape(len(paths), predictor.embedding_size)
    return EmbeddedPhotos(tuple(paths), rows, tuple(qualities))


def degrade(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Reduce or blur a photo, with equal probability, by a random amount.

    Args:
        image: RGB uint8 (H, W, 3).
        size: of its face, in pixels.
        rng: source of randomness.
    """
    if rng.random() < 0.5:
        target = float(np.exp(rng.uniform(*np.log(DEGRADED_SIZES))))
        return resize_face(image, size, min(target, size))
    return cv2.GaussianBlur(image, (0, 0), max(rng.uniform(0, MAX_BLUR) * size, 0.1))


def resize_face(image: np.ndarray, size: float, target: float) -> np.ndarray:
    """Resize a photo so that a face of `size` pixels gets `target` pixels."""
    scale = target / size
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def parse_ages(photos: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Parse the names `age_sex_origin_date` of UTKFace photos.

    Returns:
        Ages (n,) in years, −1 where the name is different, and groups of sex and origin (n,) strings.
    """
    fields = [path.name.split("_") for path in photos]
    valid = [len(each) > 3 and all(part.isdigit() for part in each[:3]) for each in fields]
    ages = [int(each[0]) if is_valid else -1 for each, is_valid in zip(fields, valid, strict=True)]
    return np.array(ages, np.int64), np.array(["_".join(each[1:3]) for each in fields], np.str_)


def fit_open_set_model(
    predictor: Predictor,
    detect: DetectSettings,
    named: Mapping[str, Sequence[tuple[str, Path]]],
    nameless: Sequence[Path],
    aged: Path | None,
    target_fpir: float,
    seed: int,
) -> tuple[OpenSetModel, dict[str, int]]:
    """Fit the open-set decision of a model.

    Args:
        predictor: the model.
        detect: detection settings.
        named: by name of the set, name and photo of people who were held out of training.
        nameless: folders of photos of different people.
        aged: folder of such photos named as in UTKFace; None: no young faces are fitted.
        target_fpir: rate at which the quality limits hold.
        seed: of the sampling.

    Returns:
        The model, and the number of faces of each set.

    Raises:
        DataError: a set has too few faces.
    """
    rng = np.random.default_rng(seed)
    portraits = [embed_photos(predictor, detect, _read(path for _, path in photos)) for photos in named.values()]
    identity = {path: name for photos in named.values() for name, path in photos}
    sets = [
        FaceSet(name, each.embeddings, np.array([identity[path] for path in each.paths], np.str_))
        for name, each in zip(named, portraits, strict=True)
    ]
    folders = [*nameless, *([] if aged is None else [aged])]
    embedded = [embed_photos(predictor, detect, _read(find_photos(folder, "calibrate"))) for folder in folders]
    sets += [FaceSet(folder.name, each.embeddings) for folder, each in zip(folders, embedded, strict=True)]
    prior, impostors = fit_impostors(sets, rng)
    qualities, is_named = [], []
    for faces, each in zip(sets, portraits, strict=False):
        degraded = embed_photos(predictor, detect, _degrade_all(each, rng))
        mated, named_right = _name_probes(each, degraded, faces, prior, impostors, target_fpir)
        qualities += mated
        is_named.append(named_right)
    numbers = np.repeat(np.arange(len(is_named)), [len(each) for each in is_named])
    poor, unusable = fit_quality_limits(qualities, np.concatenate(is_named), numbers)
    young = None if aged is None else fit_young_faces(sets[-1], *parse_ages(embedded[-1].paths))
    model = OpenSetModel(prior=prior, impostors=impostors, young=young, poor=poor, unusable=unusable)
    return model, {faces.name: len(faces.embeddings) for faces in sets}


def _find_images(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES]


def _read(paths: Iterable[Path]) -> Iterable[tuple[Path, np.ndarray]]:
    return ((path, read_image(path)) for path in paths)


def _degrade_all(portraits: EmbeddedPhotos, rng: np.random.Generator) -> Iterable[tuple[Path, np.ndarray]]:
    return (
        (path, degrade(read_image(path), quality.size, rng))
        for path, quality in zip(portraits.paths, portraits.qualities, strict=True)
    )


def _name_probes(
    portraits: EmbeddedPhotos,
    degraded: EmbeddedPhotos,
    faces: FaceSet,
    prior: ImpostorPrior,
    impostors: ImpostorModel,
    target_fpir: float,
) -> tuple[list[Quality], np.ndarray]:
    """Enroll each person's most frontal photo; return the qualities of the others, and which get the right name."""
    assert faces.identities is not None
    by_profile = np.argsort([quality.profile or 0.0 for quality in portraits.qualities], kind="stable")
    names, first = np.unique(faces.identities[by_profile], return_index=True)
    most_frontal = by_profile[first]
    person_of = dict(zip(portraits.paths, faces.identities, strict=True))
    enrolled = {portraits.paths[row] for row in most_frontal}
    paths, qualities = portraits.paths + degraded.paths, portraits.qualities + degraded.qualities
    probes = [row for row, path in enumerate(paths) if path not in enrolled]
    embeddings = np.concatenate([portraits.embeddings, degraded.embeddings])[probes].astype(np.float64)
    similarities = embeddings @ portraits.embeddings[most_frontal].T
    scores = prior.normalize(similarities, leave_one_out_moments(similarities))
    is_right = names[scores.argmax(axis=1)] == np.array([person_of[paths[row]] for row in probes])
    is_match = scores.max(axis=1) >= impostors.threshold(target_fpir, len(names))
    return [qualities[row] for row in probes], is_right & is_match
