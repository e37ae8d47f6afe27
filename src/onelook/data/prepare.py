"""Stage prepare: turn a data set into labeled scenes with a manifest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onelook.data.annotate import FaceDetector
from onelook.data.detection_scenes import DetectionDataset, write_detection_scenes
from onelook.data.face_crops import write_face_crops
from onelook.data.identity_scenes import write_identity_scenes
from onelook.data.label_arrays import FaceEmbedder, MeshPredictor, read_meshes, write_meshes, write_teacher_embeddings
from onelook.data.manifest import Manifest, Scene, select_training_scenes, write_manifest
from onelook.data.morphable_model import select_faces, write_morphable_model
from onelook.data.readers.celeba import read_celeba
from onelook.data.readers.face_crops import write_extra_faces
from onelook.data.readers.folder import read_folder
from onelook.data.readers.identity_images import IdentityDataset
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.data.readers.lfw import read_lfw
from onelook.data.readers.orl import read_orl
from onelook.data.readers.recordio import read_recordio
from onelook.data.readers.wider import read_wider
from onelook.errors import DataError, GalleryError
from onelook.files import atomic_folder
from onelook.names import normalize_name
from onelook.progress import track
from onelook.settings import PrepareSettings
from onelook.workspace import workspace_path

_NAMED_PROBLEMS = 3
"""Names that an error lists."""


@dataclass(frozen=True)
class PreparedData:
    """Result of `prepare`.

    Attributes:
        scenes: scenes of the manifest.
        skipped: message for each skipped photo, with its path and the reason.
        counts: number of label issues by their names in `LABEL_ISSUES`.
    """

    scenes: tuple[Scene, ...]
    skipped: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


def prepare(
    settings: PrepareSettings,
    seed: int,
    detect_faces: FaceDetector,
    root: Path,
    embed_faces: FaceEmbedder | None = None,
    predict_mesh: MeshPredictor | None = None,
    *,
    teacher_dim: int | None = None,
) -> PreparedData:
    """Write the data folder: images, manifest and label arrays.

    The folder is replaced at the end, so an interrupted run leaves the old one.

    Args:
        settings: the section `prepare`.
        seed: the run's seed.
        detect_faces: detector that completes the labels.
        root: data folder to write.
        embed_faces: teacher whose embeddings of the training faces are written, or None.
        predict_mesh: predictor of the mesh labels of all faces, or None.
        teacher_dim: number of principal components that are kept of the teacher's embeddings; None: all numbers.

    Raises:
        DataError: the photos are missing, or people or photos are too few.
        OnelookError: the folder cannot be written.
    """
    dataset = _read_dataset(settings, seed)
    counts: Mapping[str, int] = {}
    with atomic_folder(root) as folder:
        if isinstance(dataset, DetectionDataset):
            scenes, skipped, counts = write_detection_scenes(folder, dataset)
            _check_names(face.identity for scene in scenes for face in scene.faces if face.identity is not None)
        else:
            _check_names(image.identity for image in dataset.images)
            scenes, skipped = write_identity_scenes(folder, dataset, settings, seed, detect_faces)
        if settings.extra_faces.path:
            scenes += write_extra_faces(folder, settings.extra_faces)
        training_scenes = select_training_scenes(scenes)
        if settings.face_crops > 0:
            count = sum(len(scene.faces) for scene in training_scenes)
            write_face_crops(folder, track(training_scenes, "cropping faces"), count, settings.face_crops)
        if embed_faces is not None:
            scenes_to_embed = track(training_scenes, "computing teacher embeddings")
            write_teacher_embeddings(folder, scenes_to_embed, embed_faces, teacher_dim)
        if predict_mesh is not None:
            write_meshes(folder, track(scenes, "labeling meshes"), predict_mesh)
            if settings.morphable_model:
                meshes = read_meshes(Manifest(folder, tuple(scenes))) or {}
                faces = select_faces(training_scenes, meshes)
                write_morphable_model(folder, track(faces, "fitting the morphable model"))
        write_manifest(folder, scenes)
    return PreparedData(tuple(scenes), skipped, counts)


def _read_dataset(settings: PrepareSettings, seed: int) -> IdentityDataset | DetectionDataset:
    match settings.reader:
        case "orl":
            return read_orl()
        case "folder":
            return read_folder(settings.folder)
        case "lfw":
            return read_lfw(settings.lfw)
        case "celeba":
            return read_celeba(settings.celeba)
        case "recordio":
            return read_recordio(workspace_path(settings.recordio.path))
        case "wider":
            return read_wider(settings.wider, settings.split, seed)
        case "json_annotations":
            return read_json_annotations(settings.json_annotations, settings.split, seed)


def _check_names(identities: Iterable[str]) -> None:
    """Refuse names that no gallery takes, before hours of training instead of after them."""
    problems = []
    for identity in sorted(set(identities)):
        try:
            normalize_name(identity)
        except GalleryError as error:
            problems.append(str(error))
    if problems:
        more = f", and {len(problems) - _NAMED_PROBLEMS} more" if len(problems) > _NAMED_PROBLEMS else ""
        raise DataError(f"names of people: {'; '.join(problems[:_NAMED_PROBLEMS])}{more}")
