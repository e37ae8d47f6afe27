"""Photos of the grid study: a closed-set split of people, and mosaics of their photos.

A helper of grid_study.py. Each part is a manifest of its own, because the known people are in three of them.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from onelook.data.image_io import encode_image
from onelook.data.manifest import Face, Manifest, Scene, Split, read_manifest, write_manifest
from onelook.data.scene_dataset import read_training_image
from onelook.files import atomic_folder

SEED = 2026
SIDE = 128
"""Side of the photos, in pixels."""
MIN_PHOTOS, TEST, VALIDATION = 8, 2, 1
"""Photos that a known person has at least; of those, photos held out for the test and for validation."""
TILES = 2
"""Photos along each side of a mosaic."""
PASSES = {"train": 4, "validation": 1, "test": 2}
"""Number of mosaics that each photo is in."""


class ClosedSet(NamedTuple):
    """Photos of known people, and of others.

    Attributes:
        train, validation, test: different photos of the same people.
        unseen: photos of people who are in none of the three.
    """

    train: Manifest
    validation: Manifest
    test: Manifest
    unseen: Manifest


def read_closed_set(folder: Path, seed: int = SEED) -> ClosedSet:
    """Split the people of `faces/celeba` and the photos of those with at least MIN_PHOTOS.

    Args:
        folder: holds faces.csv and images/, with a folder a person.
        seed: of the photos that are held out.
    """
    photos = read_faces(folder)
    parts: dict[str, list[Scene]] = defaultdict(list)
    rng = np.random.default_rng(seed)
    for name in sorted(photos):
        own = photos[name]
        if len(own) < MIN_PHOTOS:
            parts["unseen"] += [replace(scene, split="test") for scene in own]
            continue
        shuffled = [own[i] for i in rng.permutation(len(own))]
        parts["test"] += [replace(scene, split="test") for scene in shuffled[:TEST]]
        parts["validation"] += [replace(scene, split="validation") for scene in shuffled[TEST : TEST + VALIDATION]]
        parts["train"] += shuffled[TEST + VALIDATION :]
    return ClosedSet(**{name: Manifest(folder, tuple(parts[name])) for name in ClosedSet._fields})


def read_faces(folder: Path) -> dict[str, list[Scene]]:
    """Read a photo a scene, by person."""
    photos: dict[str, list[Scene]] = defaultdict(list)
    with (folder / "faces.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            name, *numbers = row.values()
            values = np.array(numbers, np.float32)
            person = name.split("/")[0]
            face = Face(values[:4], values[4:].reshape(5, 2), person)
            photos[person].append(Scene(f"images/{name}", SIDE, SIDE, "train", "scene", (face,), "CelebA", "research"))
    return photos


def people_of(manifest: Manifest) -> list[str]:
    """Return the sorted names of all people."""
    return sorted({face.identity or "" for scene in manifest.scenes for face in scene.faces})


def read_mosaics(folder: Path, photos: Manifest, split: Split) -> Manifest:
    """Read the mosaics of a split; write them first unless they are there."""
    if not folder.exists():
        rng = np.random.default_rng([SEED, *split.encode()])
        with atomic_folder(folder) as temporary:
            (temporary / "images").mkdir()
            groups = [group for _ in range(PASSES[split]) for group in draw_groups(photos.scenes, rng)]
            mosaics = [glue(photos, group, temporary, number) for number, group in enumerate(groups)]
            write_manifest(temporary, mosaics)
    return read_manifest(folder)


def draw_groups(scenes: Sequence[Scene], rng: np.random.Generator) -> Iterator[list[Scene]]:
    """Yield groups of photos of different people, each photo once.

    The last photos are left out where no further group is possible.
    """
    waiting = [scenes[i] for i in rng.permutation(len(scenes))]
    while True:
        group: dict[str, Scene] = {}
        for scene in waiting:
            group.setdefault(scene.faces[0].identity or "", scene)
            if len(group) == TILES**2:
                break
        else:
            return
        chosen = {scene.image for scene in group.values()}
        waiting = [scene for scene in waiting if scene.image not in chosen]
        yield list(group.values())


def glue(photos: Manifest, group: Sequence[Scene], folder: Path, number: int) -> Scene:
    """Write a mosaic of TILES x TILES photos, row by row, and return it as a scene."""
    corners = [(SIDE * column, SIDE * row) for row in range(TILES) for column in range(TILES)]
    image = np.zeros((SIDE * TILES, SIDE * TILES, 3), np.uint8)
    faces = []
    for scene, (x, y) in zip(group, corners, strict=True):
        image[y : y + SIDE, x : x + SIDE] = read_training_image(photos.path(scene))
        face = scene.faces[0]
        moved = np.array([x, y, x, y], np.float32)
        faces.append(replace(face, box=face.box + moved, landmarks=face.landmarks + moved[:2], source=scene.image))
    name = f"images/{number:05d}.jpg"
    (folder / name).write_bytes(encode_image(image, ".jpg"))
    split = group[0].split
    return Scene(name, SIDE * TILES, SIDE * TILES, split, "scene", tuple(faces), "CelebA", "research")


def read_images(manifest: Manifest) -> list[np.ndarray]:
    """Read all images (H, W, 3) as RGB uint8."""
    return [cv2.cvtColor(cv2.imread(str(manifest.path(scene))), cv2.COLOR_BGR2RGB) for scene in manifest.scenes]


def describe(known: ClosedSet) -> str:
    """Describe the split in a sentence."""
    counts = {name: len(part.scenes) for name, part in known._asdict().items()}
    unseen = Counter(scene.faces[0].identity for scene in known.unseen.scenes)
    return (
        f"{len(people_of(known.train))} known people: {counts['train']} photos to train, {counts['validation']} to "
        f"validate, {counts['test']} to test. {len(unseen)} unseen people: {counts['unseen']} photos."
    )
