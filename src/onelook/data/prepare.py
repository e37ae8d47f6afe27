"""The stage `prepare` as a function: what the reader gives becomes scenes and enrollment photos with a manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onelook.data.annotate import FaceDetector
from onelook.data.detection_scenes import DetectionDataset, write_detection_scenes
from onelook.data.identity_scenes import write_identity_scenes
from onelook.data.manifest import Manifest, Scene, write_manifest
from onelook.data.mesh_labels import FindMesh, read_meshes, write_meshes
from onelook.data.morphable_model import choose_faces, write_morphable_model
from onelook.data.readers.celeba import read_celeba
from onelook.data.readers.face_crops import write_extra_faces
from onelook.data.readers.folder import read_folder
from onelook.data.readers.identity_images import IdentityDataset
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.data.readers.lfw import read_lfw
from onelook.data.readers.orl import read_orl
from onelook.data.readers.recordio import read_recordio
from onelook.data.readers.wider import read_wider
from onelook.data.teacher_embeddings import EmbedCrop, training_scenes, write_teacher_embeddings
from onelook.files import replacing_folder
from onelook.progress import track
from onelook.settings import PrepareSettings


@dataclass(frozen=True)
class PreparedData:
    """What was prepared.

    Attributes:
        scenes: of the manifest.
        left_out: a line for each photo left out, saying which and why.
        counts: how often labels were not taken as they stand, by the names in `labeled.KINDS`.
    """

    scenes: tuple[Scene, ...]
    left_out: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


def prepare(
    settings: PrepareSettings,
    seed: int,
    find: FaceDetector,
    root: Path,
    teach: EmbedCrop | None = None,
    find_mesh: FindMesh | None = None,
) -> PreparedData:
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
    reading = _read(settings, seed)
    counts: Mapping[str, int] = {}
    with replacing_folder(root) as folder:
        if isinstance(reading, DetectionDataset):
            scenes, left_out, counts = write_detection_scenes(folder, reading)
        else:
            scenes, left_out = write_identity_scenes(folder, reading, settings, seed, find)
        if settings.extra_faces.path:
            scenes += write_extra_faces(folder, settings.extra_faces)
        if teach is not None:
            write_teacher_embeddings(folder, track(training_scenes(scenes), "asking the teacher"), teach)
        if find_mesh is not None:
            write_meshes(folder, track(scenes, "labeling meshes"), find_mesh)
            if settings.morphable_model:
                meshes = read_meshes(Manifest(folder, tuple(scenes))) or {}
                chosen = choose_faces(training_scenes(scenes), meshes)
                write_morphable_model(folder, track(chosen, "learning the basis"))
        write_manifest(folder, scenes)
    return PreparedData(tuple(scenes), left_out, counts)


def _read(settings: PrepareSettings, seed: int) -> IdentityDataset | DetectionDataset:
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
            return read_recordio(Path(settings.recordio.path))
        case "wider":
            return read_wider(settings.wider, settings.split, seed)
        case "json_annotations":
            return read_json_annotations(settings.json_annotations, settings.split, seed)
