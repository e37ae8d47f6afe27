"""The questions that need no gallery: detect, embed, verify and find.

A model is opened at the first call and kept; the last two are.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from onelook.data.image_input import ColorOrder, ImageSource, as_image, source_name
from onelook.error_rates import DEFAULT_FAR, DEFAULT_FPIR
from onelook.faces import Face, make_faces
from onelook.gallery.calibrated_model import CalibratedModel, read_detect_settings, read_model_metadata, resolve_model
from onelook.gallery.face_selection import FaceChoice, select_face
from onelook.gallery.verification import Verification, verify_faces
from onelook.inference.loading import open_predictor
from onelook.inference.predictor import Predictor
from onelook.media.person_search import FoundFace, PersonSearch
from onelook.settings import DetectSettings

_ADVICE = 'choose one (--largest; in Python face="largest", or one of onelook.detect), or crop the photo'


def detect(
    photo: ImageSource, *, color: ColorOrder = "rgb", model: str | Path | None = None, device: str = "auto"
) -> list[Face]:
    """Detect the faces of a photo.

    Args:
        photo: path, bytes of a file, image of Pillow, or array; see `as_image`.
        color: order of the channels of an array, "rgb" or "bgr".
        model: model folder or exported file; None: the released weights.
        device: of the model: cpu, cuda, cuda:N or mps; auto: CUDA, else MPS, else the CPU.

    Returns:
        The faces with landmarks, embedding and quality, best detection score first; none in a photo without faces.

    Raises:
        PhotoError: the photo cannot be read or converted.
        OnelookError: the model or the device cannot be used.
    """
    image = as_image(photo, color=color)
    return _detect_faces(image, *_open_detector(model, device))


def embed(
    photo: ImageSource, *, color: ColorOrder = "rgb", model: str | Path | None = None, device: str = "auto"
) -> np.ndarray:
    """Embed the faces of a photo; arguments and errors are those of `detect`.

    Returns:
        (n, d) float32, L2-normalized rows in the order of `detect`. The inner product of two rows of one model is their
        similarity.
    """
    rows = [face.embedding for face in detect(photo, color=color, model=model, device=device)]
    return np.asarray(rows, np.float32).reshape(len(rows), _open_detector(model, device)[0].embedding_size)


def verify(
    first: ImageSource | Face,
    second: ImageSource | Face,
    *,
    far: float = DEFAULT_FAR,
    face: FaceChoice = None,
    color: ColorOrder = "rgb",
    model: str | Path | None = None,
    device: str = "auto",
) -> Verification:
    """Decide whether two photos show the same person.

    Args:
        first, second: photos, see `detect`, or faces that it returned.
        far: false-accept rate: of pairs of different people, at most this fraction counts as one person.
        face: the face that counts in photos that show several, see `Gallery.enroll`; None: they must show one.
        color: order of the channels of arrays.
        model: model folder or exported file; None: the released weights.
        device: of the model, see `detect`.

    Raises:
        PhotoError: a photo cannot be read, or shows no face, or several and none is chosen.
        OnelookError: the rate, the model or the device cannot be used.
    """
    opened = _open_model(model, device)
    opened.metadata.with_fpir(far)  # before the photos are read
    one, other = (_single_face(opened, each, face, color) for each in (first, second))
    return verify_faces(one, other, opened.metadata, far)


def find(
    example: ImageSource | Face,
    folder: str | Path,
    *,
    fpir: float = DEFAULT_FPIR,
    face: FaceChoice = None,
    color: ColorOrder = "rgb",
    model: str | Path | None = None,
    device: str = "auto",
) -> list[FoundFace]:
    """Find the photos of a folder and its subfolders that show the person of an example, without enrolling.

    Photos that cannot be read are left out with a warning.

    Args:
        example: a photo, see `detect`, or a face that it returned.
        folder: the folder; symbolic links that lead out of it are not followed.
        fpir: false-positive identification rate: of the faces of other people, at most this fraction is found.
        face: the face that counts in an example that shows several, see `Gallery.enroll`.
        color: order of the channels of an array.
        model: model folder or exported file; None: the released weights.
        device: of the model, see `detect`.

    Returns:
        The best face of each photo that shows the person, most similar first.

    Raises:
        PhotoError: the example cannot be read, or shows no face, or several and none is chosen.
        OnelookError: the folder, the rate, the model or the device cannot be used.
    """
    search = open_search(example, fpir=fpir, face=face, color=color, model=model, device=device)
    return search.run(Path(folder)).found


def open_search(
    example: ImageSource | Face,
    *,
    fpir: float = DEFAULT_FPIR,
    face: FaceChoice = None,
    color: ColorOrder = "rgb",
    model: str | Path | None = None,
    device: str = "auto",
) -> PersonSearch:
    """Prepare the search for the person of an example; arguments and errors are those of `find`."""
    opened = _open_model(model, device)
    metadata = opened.metadata.with_fpir(fpir)
    return PersonSearch(opened.predictor, metadata, _single_face(opened, example, face, color))


@lru_cache(maxsize=2)
def _open_detector(model: str | Path | None, device: str) -> tuple[Predictor, DetectSettings]:
    predictor = open_predictor(resolve_model(model), device)
    return predictor, read_detect_settings(model, predictor)


@lru_cache(maxsize=2)
def _open_model(model: str | Path | None, device: str) -> CalibratedModel:
    predictor, _ = _open_detector(model, device)
    return CalibratedModel(predictor, read_model_metadata(model, predictor))


def _detect_faces(image: np.ndarray, predictor: Predictor, settings: DetectSettings) -> list[Face]:
    return make_faces([image], predictor.predict([image], settings), settings.longest_side)[0]


def _single_face(opened: CalibratedModel, source: ImageSource | Face, choice: FaceChoice, color: ColorOrder) -> Face:
    """Return the face of an example: itself, or the one that counts in a photo.

    Raises:
        PhotoError: the photo cannot be read; see also `select_face`.
    """
    if isinstance(source, Face):
        return source
    faces = _detect_faces(as_image(source, color=color), opened.predictor, opened.metadata.detect)
    boxes = np.asarray([face.box for face in faces], np.float32).reshape(-1, 4)
    scores = np.asarray([face.score for face in faces], np.float32)
    return faces[select_face(boxes, scores, choice, source_name(source), _ADVICE)]
