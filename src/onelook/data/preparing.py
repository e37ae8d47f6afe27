"""The stage `prepare` as a function: reader, annotation, split by person, scenes and enrolment photos, manifest.

Everything random comes from generators seeded by the run's seed, what they are for and, for a scene, its split and
number; so the same settings give the same bytes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from itertools import combinations
from math import comb
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from onelook.data.annotate import Find, annotate, enlarge
from onelook.data.backgrounds import read_backgrounds
from onelook.data.blending import blend, blend_name
from onelook.data.celeba import read_celeba
from onelook.data.compose import cast, compose_scene
from onelook.data.cutout import Cutout, cut_out
from onelook.data.extra import write_extra
from onelook.data.folder import check_count, read_folder
from onelook.data.lfw import read_lfw
from onelook.data.meshes import FindMesh, write_meshes
from onelook.data.orl import read_orl
from onelook.data.people import SPLITS, check_splits, choose_enrolment, hold_out, split_people
from onelook.data.photo import encode_photo
from onelook.data.portrait import Portrait, Reading
from onelook.data.record import read_record
from onelook.data.scene import Face, Role, Scene, Split, write_manifest
from onelook.data.teaching import Teach, training_scenes, write_teachings
from onelook.errors import PhotoError
from onelook.files import replacing_folder
from onelook.settings import Prepare

HEADS = 1024
"""Cut-out heads kept in memory while scenes are composed."""
MATES = 4096
"""Most people that blended people are made of: their pairs are numbered, and there are half its square."""

Item = TypeVar("Item")


class _Draw(IntEnum):
    """What a random generator is for."""

    PEOPLE = 1
    ENROLMENT = 2
    CAST = 3
    SCENE = 4
    BLENDS = 5


@dataclass(frozen=True, eq=False)
class Annotated:
    """A portrait and its faces, the person's first, in pixels of the photo as read."""

    portrait: Portrait
    faces: tuple[Face, ...]


@dataclass(frozen=True, eq=False)
class Sitter:
    """Someone to put into scenes.

    Attributes:
        identity, licence: who it is, and the terms of the photo.
        sit: reads the photo, RGB uint8 (H, W, 3), and gives its faces, the person's first.
    """

    identity: str
    licence: str
    sit: Callable[[], tuple[np.ndarray, tuple[Face, ...]]]


@dataclass(frozen=True)
class Prepared:
    """What was prepared: the scenes of the manifest, and a line for each photo left out, saying which and why."""

    scenes: tuple[Scene, ...]
    left_out: tuple[str, ...]


def prepare(
    settings: Prepare, seed: int, find: Find, root: Path, teach: Teach | None = None, find_mesh: FindMesh | None = None
) -> Prepared:
    """Make the data folder `root` anew: images/ and manifest.jsonl. An interrupted run leaves the old folder.

    Args:
        settings: the section `prepare`.
        seed: the run's seed.
        find: the detector that annotates.
        root: the data folder.
        teach: the teacher whose embeddings of the training faces are kept beside the manifest, if there is one.
        find_mesh: what labels every face with a mesh, kept beside the manifest, if meshes are wanted.

    Raises:
        DataError: the photos are missing, or there are too few people or photos.
        OnelookError: the folder cannot be written.
    """
    reading = _read(settings)
    owner = None  # an official split is checked before hours of annotation
    if reading.official is not None:
        owner = hold_out(reading.official, settings.people, _rng(seed, _Draw.PEOPLE))
    annotated, unusable = annotate_all(reading, settings, find)
    by_person: dict[str, list[Annotated]] = defaultdict(list)
    for item in annotated:
        by_person[item.portrait.identity].append(item)
    if owner is None:
        owner = split_people(list(by_person), settings.people, _rng(seed, _Draw.PEOPLE))
    check_splits(owner[name] for name in by_person)
    scenes: list[Scene] = []
    with replacing_folder(root) as folder:
        for split in SPLITS:
            photos = {name: items for name, items in by_person.items() if owner[name] == split}
            scenes += _prepare_split(folder, split, photos, settings, seed)
        if settings.extra.path:
            scenes += write_extra(folder, settings.extra)
        if teach is not None:
            write_teachings(folder, _progress(training_scenes(scenes), "asking the teacher"), teach)
        if find_mesh is not None:
            write_meshes(folder, _progress(scenes, "labelling meshes"), find_mesh)
        write_manifest(folder, scenes)
    return Prepared(tuple(scenes), reading.left_out + unusable)


def _read(settings: Prepare) -> Reading:
    match settings.reader:
        case "orl":
            return read_orl()
        case "folder":
            return read_folder(settings.folder)
        case "lfw":
            return read_lfw(settings.lfw)
        case "celeba":
            return read_celeba(settings.celeba)
        case "record":
            return read_record(Path(settings.record.path))


def annotate_all(reading: Reading, settings: Prepare, find: Find) -> tuple[list[Annotated], tuple[str, ...]]:
    """Complete the faces of every portrait; those without one, or that cannot be read, are left out with a line each.

    Raises:
        DataError: leaving them out leaves a person of the user's own folder with fewer photos than its minimum.
    """
    annotated, left_out = [], []
    usable = {portrait.identity: 0 for portrait in reading.portraits}
    for portrait in _progress(reading.portraits, "annotating photos"):
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


def _prepare_split(
    folder: Path, split: Split, photos: dict[str, list[Annotated]], settings: Prepare, seed: int
) -> list[Scene]:
    count = 0 if split == "train" else settings.enrol
    divided = choose_enrolment(photos, count, _rng(seed, _Draw.ENROLMENT, SPLITS.index(split)))
    enrol = [item for chosen, _ in divided.values() for item in chosen]
    probes = [item for _, rest in divided.values() for item in rest]
    scenes = list(_write_plain(folder, split, "enrol", enrol, settings))
    if settings.composed:
        sitters = [_sitter(item) for item in probes]
        if split == "train":
            sitters += _blended_sitters(probes, settings.compose.blended, _rng(seed, _Draw.BLENDS))
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
    casts = cast(total, numbers, compose, _rng(seed, _Draw.CAST, SPLITS.index(split)))

    @lru_cache(maxsize=HEADS)
    def head(actor: int) -> Cutout:
        return cut_out(*sitters[actor].sit(), compose.size[1])

    backgrounds = read_backgrounds(split)
    for number, actors in enumerate(_progress(casts, f"composing {split} scenes")):
        rng = _rng(seed, _Draw.SCENE, SPLITS.index(split), number)
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        image, faces = compose_scene([head(actor) for actor in actors], background, backgrounds, compose, rng)
        licences = [f"background: {background.licence}"]
        licences += sorted({f"faces: {sitters[actor].licence}" for actor in actors})
        name = _write_image(folder, f"images/{split}/scene-{number:05d}.jpg", image)
        height, width = image.shape[:2]
        yield Scene(name, width, height, split, "scene", faces, background.source, "; ".join(licences))


def _sitter(item: Annotated) -> Sitter:
    return Sitter(item.portrait.identity, item.portrait.licence, lambda: (item.portrait.read(), item.faces))


def _blended_sitters(items: Sequence[Annotated], people: int, rng: np.random.Generator) -> list[Sitter]:
    """`people` blended people, each of another pair; as many photos of one as the pair's first has."""
    if people == 0:
        return []
    by_person: dict[str, list[Annotated]] = defaultdict(list)
    for item in items:
        by_person[item.portrait.identity].append(item)
    mates = sorted(by_person)
    if len(mates) > MATES:
        mates = [mates[i] for i in rng.permutation(len(mates))[:MATES]]
    drawn = rng.permutation(comb(len(mates), 2))[:people].tolist()
    wanted = set(drawn)
    pairs = {number: pair for number, pair in enumerate(combinations(mates, 2)) if number in wanted}
    sitters = []
    for number in drawn:
        firsts, seconds = (by_person[name] for name in pairs[number])
        order = rng.permutation(len(seconds))
        sitters += [_blended(first, seconds[order[i % len(order)]]) for i, first in enumerate(firsts)]
    return sitters


def _blended(first: Annotated, second: Annotated) -> Sitter:
    identity = blend_name(first.portrait.identity, second.portrait.identity)
    licences = dict.fromkeys((first.portrait.licence, second.portrait.licence))

    def sit() -> tuple[np.ndarray, tuple[Face, ...]]:
        photo, face = blend(first.portrait.read(), first.faces[0], second.portrait.read(), second.faces[0], identity)
        return photo, (face,)

    return Sitter(identity, "; ".join(licences), sit)


def _write_image(folder: Path, name: str, image: np.ndarray) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_photo(image, path.suffix))  # the whole folder is renamed at the end, so not file by file
    return name


def _rng(seed: int, draw: _Draw, *index: int) -> np.random.Generator:
    return np.random.default_rng([seed, int(draw), *index])


def _progress(items: Sequence[Item], what: str) -> Iterable[Item]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, description=what)
