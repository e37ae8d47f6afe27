"""Embed the photos that enroll people: one face of each."""

import hashlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from onelook.data.image_input import ColorOrder, ImageSource, as_image, source_name
from onelook.detections import Detections
from onelook.errors import PhotoError
from onelook.face_quality import Quality, quality_problem
from onelook.files import sha256
from onelook.gallery.data import EnrolledFace, GalleryMetadata
from onelook.gallery.enrollment import EnrollmentBatch, batch_size, make_batch, measure_quality
from onelook.gallery.face_selection import FaceChoice, count_faces, select_face
from onelook.gallery.thumbnail import make_thumbnail, thumbnail_digest
from onelook.inference.parallel import batched
from onelook.inference.predictor import Predictor
from onelook.names import escape_unprintable, normalize_name


def embed_person(
    predictor: Predictor,
    metadata: GalleryMetadata,
    name: str,
    photos: Sequence[ImageSource],
    face: FaceChoice = None,
    color: ColorOrder = "rgb",
) -> EnrollmentBatch:
    """Embed one face of each photo of a person.

    Args:
        predictor: the model.
        metadata: detection settings and limits of face quality.
        name: name of the person.
        photos: the photos.
        face: the face that counts in each; None: each photo must show one face.
        color: order of the channels of arrays.

    Raises:
        GalleryError: the name cannot be used.
        PhotoError: a photo cannot be read, or does not show exactly one face, frontal, large and sharp enough.
    """
    items = [(normalize_name(name), photo) for photo in photos]
    embedded: list[tuple[EnrolledFace, np.ndarray]] = []
    for batch in batched(items, batch_size(predictor)):
        for result in embed_single_faces(predictor, metadata, batch, face, color):
            if isinstance(result, PhotoError):
                raise PhotoError(f"{result}; nobody was enrolled") from result
            embedded.append(result)
    return make_batch(embedded, predictor.embedding_size)


def embed_single_faces(
    predictor: Predictor,
    metadata: GalleryMetadata,
    items: Sequence[tuple[str, ImageSource]],
    choice: FaceChoice = None,
    color: ColorOrder = "rgb",
) -> list[tuple[EnrolledFace, np.ndarray] | PhotoError]:
    """Embed one face of each photo, in one forward pass.

    Args:
        predictor: the model.
        metadata: detection settings and limits of face quality.
        items: a normalized name and a photo each.
        choice: the face that counts; None: a photo must show one face.
        color: order of the channels of arrays.

    Returns:
        For each photo its face and embedding (d,) float32, or the error that rules it out.
    """
    images = [_try_read(photo, color) for _, photo in items]
    detections = iter(predictor.predict([image for image in images if isinstance(image, np.ndarray)], metadata.detect))
    results: list[tuple[EnrolledFace, np.ndarray] | PhotoError] = []
    for (name, photo), image in zip(items, images, strict=True):
        if isinstance(image, PhotoError):
            results.append(image)
            continue
        detected = next(detections)
        try:
            number, quality = _select_usable_face(source_name(photo), image, detected, metadata, choice)
        except PhotoError as error:
            results.append(error)
        else:
            thumbnail = make_thumbnail(image, detected.boxes[number])
            photo_name, digest = _describe_photo(photo, image)
            if count_faces(detected.scores) > 1:
                digest = thumbnail_digest(thumbnail)
            face = EnrolledFace(person=name, photo=photo_name, sha256=digest, quality=quality, thumbnail=thumbnail)
            results.append((face, detected.embeddings[number]))
    return results


def _describe_photo(photo: ImageSource, image: np.ndarray) -> tuple[str, str]:
    """Return the name of a photo in the gallery and its SHA-256: of the file, or of the pixels without a file."""
    if isinstance(photo, str | PathLike) and Path(photo).is_file():  # else a pipe, which is read but once
        return escape_unprintable(source_name(photo)), sha256(Path(photo))
    content = (
        photo if isinstance(photo, bytes | bytearray | memoryview) else f"{image.shape}".encode() + image.tobytes()
    )
    digest = hashlib.sha256(content).hexdigest()
    return escape_unprintable(f"{source_name(photo)} {digest[:12]}"), digest


def _try_read(photo: ImageSource, color: ColorOrder) -> np.ndarray | PhotoError:
    try:
        return as_image(photo, color=color)
    except PhotoError as error:
        return error


def _select_usable_face(
    name: str, image: np.ndarray, detected: Detections, metadata: GalleryMetadata, choice: FaceChoice
) -> tuple[int, Quality]:
    """Return the position and the quality of the face of a photo that is enrolled."""
    advice = "choose one by `onelook enroll --face N`, --box x,y,w,h or --largest, or crop the photo"
    number = select_face(detected.boxes, detected.scores, choice, name, advice)
    quality = measure_quality(image, detected, number, metadata.detect)
    problem = quality_problem(quality, metadata.unusable)
    if problem is not None:
        raise PhotoError(f"{name}: {problem}")
    return number, quality
