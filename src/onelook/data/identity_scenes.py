"""From portraits of people to scenes: annotation, split by person, enrollment photos, composing."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from onelook.data.annotate import FaceDetector, annotate, upscale_image
from onelook.data.image_io import encode_image
from onelook.data.manifest import Role, Scene, Split
from onelook.data.readers.folder import check_count
from onelook.data.readers.identity_images import IdentityDataset
from onelook.data.rng import Stream, make_rng
from onelook.data.splits import SPLITS, check_splits, choose_enrollment, hold_out_validation, split_people
from onelook.data.synthesis.backgrounds import read_backgrounds
from onelook.data.synthesis.compose import compose_scene, sample_subjects
from onelook.data.synthesis.face_crop import FaceCrop, crop_head
from onelook.data.synthesis.subjects import AnnotatedImage, Subject, blended_subjects, subject_from_image
from onelook.errors import PhotoError
from onelook.progress import track
from onelook.settings import PrepareSettings

HEADS = 1024
"""Cut-out heads kept in memory while scenes are composed."""


def write_identity_scenes(
    folder: Path, reading: IdentityDataset, settings: PrepareSettings, seed: int, find: FaceDetector
) -> tuple[list[Scene], tuple[str, ...]]:
    """Write the scenes and enrollment photos of all three splits into the data folder.

    Returns:
        The scenes, and a line for each photo left out.

    Raises:
        DataError: there are too few people or photos.
    """
    owner = None  # an official split is checked before hours of annotation
    if reading.official is not None:
        owner = hold_out_validation(reading.official, settings.split, make_rng(seed, Stream.PEOPLE))
    annotated, unusable = annotate_images(reading, settings, find)
    by_person: dict[str, list[AnnotatedImage]] = defaultdict(list)
    for item in annotated:
        by_person[item.portrait.identity].append(item)
    if owner is None:
        owner = split_people(list(by_person), settings.split, make_rng(seed, Stream.PEOPLE))
    check_splits(owner[name] for name in by_person)
    scenes: list[Scene] = []
    for split in SPLITS:
        photos = {name: items for name, items in by_person.items() if owner[name] == split}
        scenes += _write_split(folder, split, photos, settings, seed)
    return scenes, reading.left_out + unusable


def annotate_images(
    reading: IdentityDataset, settings: PrepareSettings, find: FaceDetector
) -> tuple[list[AnnotatedImage], tuple[str, ...]]:
    """Complete the faces of every portrait; those without one, or that cannot be read, are left out with a line each.

    Raises:
        DataError: leaving them out leaves a person of the user's own folder with fewer photos than its minimum.
    """
    annotated, left_out = [], []
    usable = {portrait.identity: 0 for portrait in reading.portraits}
    for portrait in track(reading.portraits, "annotating photos"):
        try:
            photo = portrait.read()
        except PhotoError as error:
            left_out.append(f"{error} (left out)")
            continue
        found = annotate(
            photo,
            portrait.identity,
            find,
            score=settings.annotate.score,
            upscale=settings.annotate.upscale,
            label=portrait.label,
        )
        if not found:
            left_out.append(f"{portrait.where}: left out, no face found in it (prepare.annotate.score is the limit)")
            continue
        annotated.append(AnnotatedImage(portrait, tuple(replace(face, source=portrait.source) for face in found)))
        usable[portrait.identity] += 1
    if settings.reader == "folder":  # of a public data set people may be left out, and are counted
        for identity, count in usable.items():
            check_count(identity, count, settings.folder.min_images)
    return annotated, tuple(left_out)


def _write_split(
    folder: Path, split: Split, photos: dict[str, list[AnnotatedImage]], settings: PrepareSettings, seed: int
) -> list[Scene]:
    count = 0 if split == "train" else settings.enrollment_images
    divided = choose_enrollment(photos, count, make_rng(seed, Stream.ENROLLMENT, SPLITS.index(split)))
    enroll = [item for chosen, _ in divided.values() for item in chosen]
    probes = [item for _, rest in divided.values() for item in rest]
    scenes = list(_write_plain(folder, split, "enroll", enroll, settings))
    if settings.compose_scenes:
        sitters = [subject_from_image(item) for item in probes]
        if split == "train":
            sitters += blended_subjects(probes, settings.compose.blended_identities, make_rng(seed, Stream.BLENDS))
        scenes += _write_composed(folder, split, sitters, settings, seed)
    else:
        scenes += _write_plain(folder, split, "scene", probes, settings)
    return scenes


def _write_plain(
    folder: Path, split: Split, role: Role, items: Sequence[AnnotatedImage], settings: PrepareSettings
) -> Iterator[Scene]:
    """Each photo as a scene of its own, small ones enlarged as they were for annotation."""
    for number, item in enumerate(items):
        view = upscale_image(item.portrait.read(), settings.annotate.upscale)
        height, width = view.image.shape[:2]
        faces = []
        for face in item.faces:
            box = view.from_photo(face.box.reshape(2, 2)).clip(0, (width, height)).reshape(4)
            faces.append(replace(face, box=box, landmarks=view.from_photo(face.landmarks), source=""))
        image = _write_image(folder, f"images/{split}/{role}-{number:05d}.jpg", view.image)
        yield Scene(image, width, height, split, role, tuple(faces), item.portrait.source, item.portrait.license)


def _write_composed(
    folder: Path, split: Split, sitters: Sequence[Subject], settings: PrepareSettings, seed: int
) -> Iterator[Scene]:
    compose = settings.compose
    total = {"train": compose.train, "validation": compose.validation, "test": compose.test}[split]
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, sitter in enumerate(sitters):
        numbers[sitter.identity].append(number)
    casts = sample_subjects(total, numbers, compose, make_rng(seed, Stream.CAST, SPLITS.index(split)))

    @lru_cache(maxsize=HEADS)
    def head(actor: int) -> FaceCrop:
        return crop_head(*sitters[actor].sit(), compose.face_size[1])

    backgrounds = read_backgrounds(split)
    for number, actors in enumerate(track(casts, f"composing {split} scenes")):
        rng = make_rng(seed, Stream.SCENE, SPLITS.index(split), number)
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        image, faces = compose_scene([head(actor) for actor in actors], background, backgrounds, compose, rng)
        licenses = [f"background: {background.license}"]
        licenses += sorted({f"faces: {sitters[actor].license}" for actor in actors})
        name = _write_image(folder, f"images/{split}/scene-{number:05d}.jpg", image)
        height, width = image.shape[:2]
        yield Scene(name, width, height, split, "scene", faces, background.source, "; ".join(licenses))


def _write_image(folder: Path, name: str, image: np.ndarray) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix))  # the whole folder is renamed at the end, so not file by file
    return name
