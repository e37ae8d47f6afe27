"""The command `collect-faces`: turn a folder of photographs into a set of training faces."""

import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zipfile import BadZipFile

import typer

if TYPE_CHECKING:
    import numpy as np

    from onelook.data.annotate import FaceDetector
    from onelook.data.label_arrays import FaceEmbedder
    from onelook.detections import Detections

logger = logging.getLogger(__name__)

EXCLUDED = "excluded.npz"
"""Embeddings of the evaluation photos, kept beside the sets."""


def collect_faces(
    name: Annotated[str, typer.Argument(help="Name of the set.", metavar="SET", show_default=False)],
    photos: Annotated[Path, typer.Argument(help="Folder of the photographs.", metavar="PHOTOS", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the sets, for prepare.extra_faces.path.", metavar="FOLDER")
    ],
    recognizer: Annotated[
        Path,
        typer.Option(
            "--recognizer",
            help="An .onnx or .tflite recognizer that compares the faces with those of the evaluation photos.",
            metavar="FILE",
        ),
    ],
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            "--exclude", help="Folder of evaluation photos, whose people are left out; repeat it.", metavar="PHOTOS"
        ),
    ] = None,
    lfw: Annotated[
        Path | None,
        typer.Option("--lfw", help="LFW; the people of its peopleDevTest.txt are left out.", metavar="FOLDER"),
    ] = None,
    pattern: Annotated[str, typer.Option("--pattern", help="Glob pattern of the photographs.")] = "**/*.jpg",
    terms: Annotated[str, typer.Option("--terms", help="Terms of use, for the model card.")] = "research use",
    mean: Annotated[float, typer.Option("--mean", help="The recognizer subtracts it from gray levels.")] = 127.5,
    std: Annotated[float, typer.Option("--std", help="What they are then divided by.")] = 127.5,
) -> None:
    """Turn a folder of photographs into a set of training faces.

    Each photo gives one crop with box and five points, of its most prominent face. A face that is too similar to one of
    the evaluation photos is left out. An interrupted collection continues. `counts.json` has the numbers of all sets.
    """
    from onelook.data.face_collection import FaceSource, collect_faces
    from onelook.errors import OnelookError
    from onelook.inference.torch_predictor import public_detector
    from onelook.model.teacher import Teacher
    from onelook.settings import DetectSettings, TeacherSettings

    if lfw is None and not exclude:
        raise OnelookError("name evaluation photos to keep out, by --lfw or --exclude, or nothing can be measured")
    detector = public_detector()
    detect = DetectSettings(score=0.3, nms=0.4, longest_side=640)
    settings = TeacherSettings(path=str(recognizer), mean=(mean, mean, mean), std=(std, std, std))
    teacher = Teacher(settings, "cpu")

    def detect_faces(image: "np.ndarray") -> "Detections":
        return detector.predict([image], detect, embed=False)[0]

    excluded = _excluded_embeddings(out, lfw, exclude or [], recognizer, detect_faces, teacher.embed_faces)
    source = FaceSource(name, photos, pattern, terms)
    counts = collect_faces(source, out, detect_faces, teacher.embed_faces, excluded)
    print(f"{out / name}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


COMMANDS: dict[str, Callable[..., None]] = {"collect-faces": collect_faces}


def _excluded_embeddings(
    out: Path,
    lfw: Path | None,
    folders: list[Path],
    recognizer: Path,
    detect_faces: "FaceDetector",
    embed_faces: "FaceEmbedder",
) -> "np.ndarray":
    """Return the embeddings (n, d) of the evaluation photos, from the file beside the sets if it is of the same."""
    import numpy as np

    from onelook.data.face_collection import embed_photos
    from onelook.data.readers.lfw import read_lfw
    from onelook.files import atomic_file, sha256
    from onelook.settings import LfwSettings

    photos = [path for folder in folders for path in sorted(folder.rglob("*.jpg"))]
    if lfw is not None:
        dataset = read_lfw(LfwSettings(path=str(lfw)))
        splits = dataset.official_splits or {}
        photos += [image.path for image in dataset.images if splits[image.identity] == "test"]
    key = "\n".join([sha256(recognizer), *map(str, photos)])
    path = out / EXCLUDED
    saved = _read_embeddings(path, key) if path.exists() else None
    if saved is not None:
        return saved
    embeddings = embed_photos(photos, detect_faces, embed_faces)
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, key=key, embeddings=embeddings)
    return embeddings


def _read_embeddings(path: Path, key: str) -> "np.ndarray | None":
    """Read the embeddings of the evaluation photos; None if they are of others or damaged, then they are made anew."""
    import numpy as np

    try:
        with np.load(path) as saved:
            if str(saved["key"]) != key:
                return None
            embeddings: np.ndarray = saved["embeddings"]
            if embeddings.ndim == 2 and embeddings.dtype == np.float32 and np.isfinite(embeddings).all():
                return embeddings
    except (ValueError, OSError, LookupError, EOFError, BadZipFile, zlib.error, MemoryError, NotImplementedError):
        pass
    logger.warning("%s: damaged; the evaluation photos are embedded anew", path)
    return None
