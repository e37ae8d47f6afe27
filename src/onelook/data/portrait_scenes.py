"""From portraits of people to scenes: annotation, split by person, enrolment photos, composing."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from onelook.data.annotate import Find, annotate, enlarge
from onelook.data.backgrounds import read_backgrounds
from onelook.data.compose import cast, compose_scene
from onelook.data.cutout import Cutout, cut_out
from onelook.data.draws import Draw, generator
from onelook.data.folder import check_count
from onelook.data.people import SPLITS, check_splits, choose_enrolment, hold_out, split_people
from onelook.data.photo import encode_photo
from onelook.data.portrait import Reading
from onelook.data.progress import with_progress
from onelook.data.scene import Role, Scene, Split
from onelook.data.sitters import Annotated, Sitter, blended_sitters, sitter_of
from onelook.errors import PhotoError
from onelook.settings import Prepare

HEADS = 1024
"""Cut-out heads kept in memory while scenes are composed."""


def write_portraits(
    folder: Path, reading: Reading, settings: Prepare, seed: int, find: Find
) -> tuple[list[Scene], tuple[str, ...]]:
    """Write the scenes and enrolment photos of all three splits into the data folder.

    Returns:
        The scenes, and a line for each photo left out.

    Raises:
        DataError: there are too few people or photos.
    """
    owner = None  # an official split is checked before hours of annotation
    if reading.official is not None:
        owner = hold_out(reading.official, settings.people, generator(seed, Draw.PEOPLE))
    annotated, unusable = annotate_all(reading, settings, find)
    by_person: dict[str, list[Annotated]] = defaultdict(list)
    for item in annotated:
        by_person[item.portrait.identity].append(item)
    if owner is None:
        owner = split_people(list(by_person), settings.people, generator(seed, Draw.PEOPLE))
    check_splits(owner[name] for name in by_person)
    scenes: list[Scene] = []
    for split in SPLITS:
        photos = {name: items for name, items in by_person.items() if owner[name] == split}
        scenes += _write_split(folder, split, photos, settings, seed)
    return scenes, reading.left_out + unusable


def annotate_all(reading: Reading, settings: Prepare, find: Find) -> tuple[list[Annotated], tuple[str, ...]]:
    """Complete the faces of every portrait; those without one, or that cannot be read, are left out with a line each.

    Raises:
        DataError: leaving them out leaves a person of the user's own folder with fewer photos than its minimum.
    """
    annotated, left_out = [], []
    usable = {portrait.identity: 0 for portrait in reading.portraits}
    for portrait in with_progress(reading.portraits, "annotating photos"):
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
        annotated.append(Annotated(portrait, tuple(replace(face, source=portrait.source) for face in found)))
        usable[portrait.identity] += 1
    if settings.reader == "folder":  # of a public data set people may be left out, and are counted
        for identity, count in usable.items():
            check_count(identity, count, settings.folder.minimum_photos)
    return annotated, tuple(left_out)


def _write_split(
    folder: Path, split: Split, photos: dict[str, list[Annotated]], settings: Prepare, seed: int
) -> list[Scene]:
    count = 0 if split == "train" else settings.enrol
    divided = choose_enrolment(photos, count, generator(seed, Draw.ENROLMENT, SPLITS.index(split)))
    enrol = [item for chosen, _ in divided.values() for item in chosen]
    probes = [item for _, rest in divided.values() for item in rest]
    scenes = list(_write_plain(folder, split, "enrol", enrol, settings))
    if settings.composed:
        sitters = [sitter_of(item) for item in probes]
        if split == "train":
            sitters += blended_sitters(probes, settings.compose.blended, generator(seed, Draw.BLENDS))
        scenes += _write_composed(folder, split, sitters, settings, seed)
    else:
        scenes += _write_plain(folder, split, "scene", probes, settings)
    return scenes


def _write_plain(
    folder: Path, split: Split, role: Role, items: Sequence[Annotated], settings: Prepare
) -> Iterator[Scene]:
    """Each photo as a scene of its own, small ones enlarged as they were for annotation."""
    for number, item in enumerate(items):
        view = enlarge(item.portrait.read(), settings.annotate.upscale)
        height, width = view.image.shape[:2]
        faces = []
        for face in item.faces:
            box = view.from_photo(face.box.reshape(2, 2)).clip(0, (width, height)).reshape(4)
            faces.append(replace(face, box=box, landmarks=view.from_photo(face.landmarks), source=""))
        image = _write_image(folder, f"images/{split}/{role}-{number:05d}.jpg", view.image)
        yield Scene(image, width, height, split, role, tuple(faces), item.portrait.source, item.portrait.licence)


def _write_composed(
    folder: Path, split: Split, sitters: Sequence[Sitter], settings: Prepare, seed: int
) -> Iterator[Scene]:
    compose = settings.compose
    total = {"train": compose.train, "validation": compose.validation, "test": compose.test}[split]
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, sitter in enumerate(sitters):
        numbers[sitter.identity].append(number)
    casts = cast(total, numbers, compose, generator(seed, Draw.CAST, SPLITS.index(split)))

    @lru_cache(maxsize=HEADS)
    def head(actor: int) -> Cutout:
        return cut_out(*sitters[actor].sit(), compose.size[1])

    backgrounds = read_backgrounds(split)
    for number, actors in enumerate(with_progress(casts, f"composing {split} scenes")):
        rng = generator(seed, Draw.SCENE, SPLITS.index(split), number)
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        image, faces = compose_scene([head(actor) for actor in actors], background, backgrounds, compose, rng)
        licences = [f"background: {background.licence}"]
        licences += sorted({f"faces: {sitters[actor].licence}" for actor in actors})
        name = _write_image(folder, f"images/{split}/scene-{number:05d}.jpg", image)
        height, width = image.shape[:2]
        yield Scene(name, width, height, split, "scene", faces, background.source, "; ".join(licences))


def _write_image(folder: Path, name: str, image: np.ndarray) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_photo(image, path.suffix))  # the whole folder is renamed at the end, so not file by file
    return name
