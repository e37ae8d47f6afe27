"""Identity scenes: annotation, split by person, enrollment photos, composition."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from onelook.data.annotate import FaceDetector, annotate, upscale_image
from onelook.data.image_io import encode_image
from onelook.data.manifest import Role, Scene, Split
from onelook.data.readers.folder import check_counts
from onelook.data.readers.identity_images import IdentityDataset
from onelook.data.rng import Stream, make_rng
from onelook.data.splits import SPLITS, check_splits, hold_out_validation, split_enrollment, split_people
from onelook.data.synthesis.backgrounds import read_backgrounds
from onelook.data.synthesis.compose import compose_scene, sample_subjects
from onelook.data.synthesis.face_crop import FaceCrop, crop_head
from onelook.data.synthesis.subjects import AnnotatedImage, Subject, blended_subjects, subject_from_image
from onelook.errors import PhotoError
from onelook.progress import track
from onelook.settings import PrepareSettings

HEAD_CACHE_SIZE = 1024
"""Most head crops cached while scenes are composed."""


def write_identity_scenes(
    folder: Path, dataset: IdentityDataset, settings: PrepareSettings, seed: int, detect_faces: FaceDetector
) -> tuple[list[Scene], tuple[str, ...]]:
    """Write the scenes and enrollment photos of all splits into the data folder.

    Args:
        folder: data folder.
        dataset: photos of people, as a reader returns them.
        settings: the section `prepare`.
        seed: the run's seed.
        detect_faces: detector that completes the labels.

    Returns:
        The scenes, and a message for each skipped photo.

    Raises:
        DataError: there are too few people or photos.
    """
    owner = None
    if dataset.official_splits is not None:  # checked first: annotating a large data set takes hours
        owner = hold_out_validation(dataset.official_splits, settings.split, make_rng(seed, Stream.SPLIT))
    annotated, unusable = annotate_images(dataset, settings, detect_faces)
    by_person: dict[str, list[AnnotatedImage]] = defaultdict(list)
    for item in annotated:
        by_person[item.image.identity].append(item)
    if owner is None:
        owner = split_people(list(by_person), settings.split, make_rng(seed, Stream.SPLIT))
    check_splits(owner[name] for name in by_person)
    scenes: list[Scene] = []
    for split in SPLITS:
        own = {name: items for name, items in by_person.items() if owner[name] == split}
        scenes += _write_split(folder, split, own, settings, seed)
    return scenes, dataset.skipped + unusable


def annotate_images(
    dataset: IdentityDataset, settings: PrepareSettings, detect_faces: FaceDetector
) -> tuple[list[AnnotatedImage], tuple[str, ...]]:
    """Annotate the faces of every photo.

    Returns:
        The annotated photos, and a message for each photo that is unreadable or without a face.

    Raises:
        DataError: with the reader "folder", people have fewer usable photos than `min_images`.
    """
    annotated, skipped = [], []
    usable = {photo.identity: 0 for photo in dataset.images}
    for photo in track(dataset.images, "annotating photos"):
        try:
            image = photo.read()
        except PhotoError as error:
            skipped.append(f"{error} (skipped)")
            continue
        faces = annotate(
            image,
            photo.identity,
            detect_faces,
            score=settings.annotate.score,
            upscale=settings.annotate.upscale,
            label=photo.label,
        )
        if not faces:
            skipped.append(f"{photo.location}: skipped, no face of score prepare.annotate.score found in it")
            continue
        annotated.append(AnnotatedImage(photo, tuple(replace(face, source=photo.source) for face in faces)))
        usable[photo.identity] += 1
    if settings.reader == "folder":  # a public data set may lose people
        check_counts(usable, settings.folder.min_images)
    return annotated, tuple(skipped)


def _write_split(
    folder: Path, split: Split, photos: dict[str, list[AnnotatedImage]], settings: PrepareSettings, seed: int
) -> list[Scene]:
    count = 0 if split == "train" else settings.enrollment_images
    by_role = split_enrollment(photos, count, make_rng(seed, Stream.ENROLLMENT, SPLITS.index(split)))
    enroll = [item for own, _ in by_role.values() for item in own]
    probes = [item for _, own in by_role.values() for item in own]
    scenes = list(_write_photos(folder, split, "enroll", enroll, settings))
    if settings.compose_scenes:
        subjects = [subject_from_image(item) for item in probes]
        if split == "train":
            subjects += blended_subjects(probes, settings.compose.blended_identities, make_rng(seed, Stream.BLENDS))
        scenes += _write_composed_scenes(folder, split, subjects, settings, seed)
    else:
        scenes += _write_photos(folder, split, "scene", probes, settings)
    return scenes


def _write_photos(
    folder: Path, split: Split, role: Role, items: Sequence[AnnotatedImage], settings: PrepareSettings
) -> Iterator[Scene]:
    """Write each photo as a scene of its own, upscaled if it was for annotation."""
    for number, item in enumerate(items):
        view = upscale_image(item.image.read(), settings.annotate.upscale)
        height, width = view.image.shape[:2]
        faces = []
        for face in item.faces:
            box = view.from_original(face.box.reshape(2, 2)).clip(0, (width, height)).reshape(4)
            faces.append(replace(face, box=box, landmarks=view.from_original(face.landmarks), source=""))
        image = _write_image(folder, f"images/{split}/{role}-{number:05d}.jpg", view.image)
        yield Scene(image, width, height, split, role, tuple(faces), item.image.source, item.image.license)


def _write_composed_scenes(
    folder: Path, split: Split, subjects: Sequence[Subject], settings: PrepareSettings, seed: int
) -> Iterator[Scene]:
    """Write scenes composed of subjects' heads on backgrounds."""
    compose = settings.compose
    total = {"train": compose.train, "validation": compose.validation, "test": compose.test}[split]
    by_identity: dict[str, list[int]] = defaultdict(list)
    for index, subject in enumerate(subjects):
        by_identity[subject.identity].append(index)
    samples = sample_subjects(total, by_identity, compose, make_rng(seed, Stream.SUBJECTS, SPLITS.index(split)))

    @lru_cache(maxsize=HEAD_CACHE_SIZE)
    def head(index: int) -> FaceCrop:
        return crop_head(*subjects[index].read(), compose.face_size[1])

    backgrounds = read_backgrounds(split)
    for number, indices in enumerate(track(samples, f"composing {split} scenes")):
        rng = make_rng(seed, Stream.SCENE, SPLITS.index(split), number)
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        image, faces = compose_scene([head(index) for index in indices], background, backgrounds, compose, rng)
        licenses = [f"background: {background.license}"]
        licenses += sorted({f"faces: {subjects[index].license}" for index in indices})
        name = _write_image(folder, f"images/{split}/scene-{number:05d}.jpg", image)
        height, width = image.shape[:2]
        yield Scene(name, width, height, split, "scene", faces, background.source, "; ".join(licenses))


def _write_image(folder: Path, name: str, image: np.ndarray) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix))  # not atomic: the data folder as a whole is replaced at the end
    return name
