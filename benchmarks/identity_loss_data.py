"""Aligned crops of named people, and the frozen detector's maps of them; a helper of identity_losses.py.

Two sets train. Nobody of them is in the pairs of LFW's development test:

- `lfw`: LFW's development training people, whom the official lists separate from the people of the pairs;
- `celeba`: CelebA's people, without crops like a face of LFW's development test people (`data/README.md`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from recognition_pairs import read_lfw_pairs
from rich.console import Console
from rich.progress import track
from torch.nn import functional

from onelook.data.face_collection import find_face
from onelook.data.image_io import read_image
from onelook.data.manifest import Face
from onelook.data.readers.face_crops import read_face_list
from onelook.data.readers.lfw import read_lfw
from onelook.detections import Detections
from onelook.errors import OnelookError
from onelook.files import atomic_file, make_private_folder
from onelook.geometry.alignment import CROP_SIZE, align_crop
from onelook.inference.torch_predictor import public_detector
from onelook.settings import DetectSettings, LfwSettings

DETECT = DetectSettings(score=0.3, nms=0.4, longest_side=640)
MOST_PHOTOS = 20
"""Most photos of a person: one of LFW's has 530."""
COMPONENTS, FITTED_ON, SEED = 512, 1500, 2026
"""Principal components, crops of each set that they are fitted on, and seed."""
SETS = ("lfw", "celeba", "test")


class Photos(NamedTuple):
    """Photos of one set.

    Attributes:
        names: (n,) PERSON/FILE.
        crops: (n, 112, 112, 3) uint8, aligned; black where no face was found.
    """

    names: np.ndarray
    crops: np.ndarray

    def people(self) -> np.ndarray:
        """Return the person (n,) of each photo, 0 to p-1."""
        return np.unique([name.split("/")[0] for name in self.names], return_inverse=True)[1]


def read_photos(data: Path, folder: Path) -> dict[str, Photos]:
    """Return the photos of `lfw`, `celeba` and `test`, from `folder` where they were cut before.

    Raises:
        OnelookError: a person of the pairs is among the training people.
    """
    make_private_folder(folder)
    sets = {"lfw": _lfw_faces, "celeba": _celeba_faces, "test": _test_faces}
    photos = {name: _read_set(read, data, folder / f"{name}.npz") for name, read in sets.items()}
    people = {name: {each.split("/")[0] for each in photos[name].names} for name in photos}
    if shared := people["test"] & people["lfw"]:
        raise OnelookError(f"{data / 'lfw'}: {min(shared)} is in the pairs and trains; restore LFW's lists")
    return photos


Source = tuple[str, Path, Face | None]
"""Name, photo, and the labeled face; None: a detector finds the face."""


def _lfw_faces(data: Path) -> list[Source]:
    dataset = read_lfw(LfwSettings(path=str(data / "lfw")))
    splits = dataset.official_splits or {}
    faces: list[Source] = []
    for image in dataset.images:
        number = int(image.path.stem[-4:])
        if splits[image.identity] == "train" and number <= MOST_PHOTOS:
            faces.append((f"{image.identity}/{number}", image.path, None))
    return faces


def _celeba_faces(data: Path) -> list[Source]:
    folder = data / "faces" / "celeba"
    return [(row.file, folder / "images" / row.file, row.face) for row in read_face_list(folder / "faces.csv")]


def _test_faces(data: Path) -> list[Source]:
    paths, _ = read_lfw_pairs(data / "lfw", None)
    return [(f"{path.parent.name}/{int(path.stem[-4:])}", path, None) for path in paths]


def _read_set(read: Callable[[Path], Sequence[Source]], data: Path, path: Path) -> Photos:
    if not path.exists():
        sources = read(data)
        detector = public_detector()

        def detect_faces(image: np.ndarray) -> Detections:
            return detector.predict([image], DETECT, embed=False)[0]

        crops = np.zeros((len(sources), CROP_SIZE, CROP_SIZE, 3), np.uint8)
        shown = track(sources, description=path.stem, transient=True, console=Console(stderr=True))
        for crop, (_, photo, label) in zip(crops, shown, strict=True):
            image = read_image(photo)
            face = find_face(image, detect_faces) if label is None else label
            if face is not None:
                crop[:] = align_crop(image, face.landmarks)
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, names=np.array([name for name, _, _ in sources]), crops=crops)
    with np.load(path) as saved:
        return Photos(saved["names"], saved["crops"])


class Features(NamedTuple):
    """Inputs of the recognizer.

    Attributes:
        rows: (n, 2, COMPONENTS) float32, of each photo as it is and mirrored.
        people: (n,) int64, 0 to p-1.
    """

    rows: torch.Tensor
    people: np.ndarray


def read_features(data: Path, folder: Path) -> dict[str, Features]:
    """Return the features of `lfw`, `celeba` and `test`, from `folder` where they were computed before."""
    path = folder / "features.npz"
    if not path.exists():
        photos = read_photos(data, folder)
        rows = _whiten({name: _detector_maps(each.crops) for name, each in photos.items()})
        arrays = {f"{name}_rows": each for name, each in rows.items()}
        arrays |= {f"{name}_people": each.people() for name, each in photos.items()}
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # one of the keywords is a bool
    with np.load(path) as saved:
        return {name: Features(torch.from_numpy(saved[f"{name}_rows"]), saved[f"{name}_people"]) for name in SETS}


@torch.inference_mode()
def _detector_maps(crops: np.ndarray) -> np.ndarray:
    """Return the maps of strides 4 (pooled) and 8 of crops and their mirror images, (n, 2, 96, 14, 14) float16."""
    detector = public_detector().network.detector.eval()
    batches = []
    for first in range(0, len(crops), 64):
        images = torch.from_numpy(crops[first : first + 64]).permute(0, 3, 1, 2)
        both = []
        for view in (images, images.flip(3)):
            maps = detector.extract_feature_maps(view)
            both.append(torch.cat([functional.avg_pool2d(maps[2], 2), maps[3]], dim=1).half())
        batches.append(torch.stack(both, dim=1))
    return torch.cat(batches).numpy()


def _whiten(maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Reduce maps (n, 2, c, 14, 14) to the first principal components of the training crops, of variance 1.

    No name is used. The channels are standardized before.
    """
    rng = np.random.default_rng(SEED)
    samples = [maps[name][rng.permutation(len(maps[name]))[:FITTED_ON], 0] for name in ("lfw", "celeba")]
    fitted_on = np.concatenate(samples).astype(np.float32)
    mean, std = (each[:, None, None] for each in (fitted_on.mean((0, 2, 3)), fitted_on.std((0, 2, 3))))

    def standardize(part: np.ndarray) -> np.ndarray:
        return ((part - mean) / std).reshape(len(part), -1)

    fitted_on = standardize(fitted_on)
    center = fitted_on.mean(axis=0)
    fitted_on -= center
    # With fewer crops than numbers, the eigenvectors of their inner products are the cheaper way: 5 s instead of 32.
    values, vectors = (each[..., -COMPONENTS:] for each in np.linalg.eigh(fitted_on @ fitted_on.T))
    projection = fitted_on.T @ vectors * (np.sqrt(len(fitted_on)) / values)
    rows = {}
    for name, each in maps.items():
        flat = each.reshape(-1, *each.shape[2:])
        parts = [(standardize(flat[first : first + 512]) - center) @ projection for first in range(0, len(flat), 512)]
        rows[name] = np.concatenate(parts).astype(np.float32).reshape(len(each), 2, COMPONENTS)
    return rows
