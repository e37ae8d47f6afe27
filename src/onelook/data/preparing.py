"""The stage `prepare` as a function: what the reader gives becomes scenes and enrolment photos with a manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onelook.data.annotate import Find
from onelook.data.annotations import read_annotations
from onelook.data.basis import choose_faces, write_basis
from onelook.data.celeba import read_celeba
from onelook.data.extra import write_extra
from onelook.data.folder import read_folder
from onelook.data.labelled import LabelledPhotos, write_labelled
from onelook.data.lfw import read_lfw
from onelook.data.meshes import FindMesh, read_meshes, write_meshes
from onelook.data.orl import read_orl
from onelook.data.portrait import Reading
from onelook.data.portrait_scenes import write_portraits
from onelook.data.progress import with_progress
from onelook.data.record import read_record
from onelook.data.scene import Manifest, Scene, write_manifest
from onelook.data.teaching import Teach, training_scenes, write_teachings
from onelook.data.wider import read_wider
from onelook.files import replacing_folder
from onelook.settings import Prepare


@dataclass(frozen=True)
class Prepared:
    """What was prepared.

    Attributes:
        scenes: of the manifest.
        left_out: a line for each photo left out, saying which and why.
        counts: how often labels were not taken as they stand, by the names in `labelled.KINDS`.
    """

    scenes: tuple[Scene, ...]
    left_out: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


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
    reading = _read(settings, seed)
    counts: Mapping[str, int] = {}
    with replacing_folder(root) as folder:
        if isinstance(reading, LabelledPhotos):
            scenes, left_out, counts = write_labelled(folder, reading)
        else:
            scenes, left_out = write_portraits(folder, reading, settings, seed, find)
        if settings.extra.path:
            scenes += write_extra(folder, settings.extra)
        if teach is not None:
            write_teachings(folder, with_progress(training_scenes(scenes), "asking the teacher"), teach)
        if find_mesh is not None:
            write_meshes(folder, with_progress(scenes, "labelling meshes"), find_mesh)
            if settings.basis:
                meshes = read_meshes(Manifest(folder, tuple(scenes))) or {}
                chosen = choose_faces(training_scenes(scenes), meshes)
                write_basis(folder, with_progress(chosen, "learning the basis"))
        write_manifest(folder, scenes)
    return Prepared(tuple(scenes), left_out, counts)


def _read(settings: Prepare, seed: int) -> Reading | LabelledPhotos:
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
        case "wider":
            return read_wider(settings.wider, settings.people, seed)
        case "annotations":
            return read_annotations(settings.annotations, settings.people, seed)
