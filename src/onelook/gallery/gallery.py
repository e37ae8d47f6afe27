"""A gallery and the model that made it: enroll people, and say who is in a photo."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onelook.data.image_io import read_image
from onelook.errors import GalleryError
from onelook.gallery.backend import GalleryBackend, check_model
from onelook.gallery.backend_factory import create_backend, is_gallery, open_backend
from onelook.gallery.bulk_enrollment import BulkEnrollment, Report, look_in_passes
from onelook.gallery.calibration import calibrated_metadata
from onelook.gallery.data import Entry, GalleryMetadata
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import Rows, rows_of_person
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.identification import UNKNOWN_FACE, Identification, IdentifiedFace, identify_ranked
from onelook.gallery.location import Location, parse_location
from onelook.gallery.names import check_name
from onelook.gallery.ray_workers import look_with_workers
from onelook.inference.loading import open_predictor
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import RELEASED, fingerprint

if TYPE_CHECKING:
    from onelook.gallery.pending_face import PendingFace

PIPELINE_MODEL = Path("build/model")
PIPELINE_CALIBRATION = Path("build/evaluation/calibration.json")


@dataclass(frozen=True)
class Enrollment:
    """What an enrollment did.

    Attributes:
        name: as it is kept.
        added: how many photos were enrolled.
        known: how many were not, because the person had them already.
        total: how many the person now has.
        alike: people whom the person resembles as much as a face must to get the name.
    """

    name: str
    added: int
    known: int
    total: int
    alike: tuple[DuplicatePair, ...]


class Gallery:
    """A gallery opened with its model.

    A folder's answers are from what it held when it was opened or last changed through this object; Milvus answers from
    what it holds.

    Attributes:
        folder: its folder, or its address in Milvus.
    """

    def __init__(self, engine: GalleryBackend, looker: Predictor) -> None:
        """Take what keeps and finds the people, and the model; see `open_gallery` and `create_gallery`.

        Raises:
            GalleryError: the gallery was made with another model.
        """
        check_model(engine.place, engine.terms, looker)
        self.folder = engine.place
        self._engine = engine
        self._looker = looker

    @property
    def terms(self) -> GalleryMetadata:
        """What the gallery was made with."""
        return self._engine.terms

    @property
    def threshold(self) -> float:
        """The lowest similarity at which a face gets a name now: it follows the number of people."""
        return self.terms.threshold_for(self._engine.count_people())

    @property
    def has_mesh_head(self) -> bool:
        """Whether the model has a mesh head."""
        return self._looker.has_mesh_head

    def people(self) -> dict[str, int]:
        """How many photos everyone is enrolled with, sorted by name."""
        return self._engine.people()

    def rows(self) -> dict[str, list[Entry]]:
        """What everyone is enrolled with, people sorted by name; all of it is read into memory."""
        return self._engine.entries()

    def revision(self) -> str:
        """What tells the gallery as it is now from the gallery before and after any change."""
        return self._engine.revision()

    def refresh(self) -> None:
        """Take what the gallery holds now, where another process may have changed it; nobody where there is none.

        Raises:
            GalleryError: it is damaged, or made with another model.
        """
        self._engine.refresh()

    def identify(self, photo: str | Path | np.ndarray) -> list[IdentifiedFace]:
        """Find the faces of a photo and name them, best detection first.

        A person's similarity is the inner product of the face's embedding with the person's template, the mean of the
        person's enrolled embeddings, weighted by the quality of their photos, brought back to length 1. The most
        similar person is the answer, unless the similarity is below the threshold.

        Args:
            photo: a path, or an upright RGB uint8 image (H, W, 3).

        Raises:
            PhotoError: the photo cannot be read.
        """
        return self.identify_all([photo if isinstance(photo, np.ndarray) else read_image(Path(photo))])[0]

    def identify_all(self, images: Sequence[np.ndarray]) -> list[list[IdentifiedFace]]:
        """The faces of upright RGB uint8 images (H, W, 3), as `identify`: one look and one search for all of them."""
        looks = self._looker.predict(list(images), self.terms.detect)
        if not looks:
            return []
        answers = iter(self.name(np.concatenate([found.embeddings for found in looks])))
        return [
            [
                IdentifiedFace(
                    box=found.boxes[i],
                    landmarks=found.landmarks[i],
                    score=float(found.scores[i]),
                    embedding=found.embeddings[i],
                    **vars(next(answers)),
                    mesh=None if found.meshes is None else found.meshes[i],
                )
                for i in range(len(found))
            ]
            for found in looks
        ]

    def name(self, embeddings: np.ndarray) -> list[Identification]:
        """Who faces are whose embeddings (n, d) float32 are given, all in one search; as `identify`."""
        if not len(embeddings):
            return []
        found = self._engine.search(embeddings)
        if not found.people:
            return [UNKNOWN_FACE] * len(embeddings)
        threshold = self.terms.threshold_for(found.people)
        return identify_ranked(found.ranking, found.names, found.people, threshold, self.terms.unknown)

    def enroll(self, name: str, photos: Sequence[str | Path]) -> Enrollment:
        """Enroll photos of one person, each with that face alone: all of them, or none if one cannot be used.

        Raises:
            PhotoError: a photo cannot be read, or does not show exactly one face, large and sharp enough.
            GalleryError: the name cannot be used, a photo is enrolled as somebody else, or the gallery cannot be
                changed.
        """
        rows = rows_of_person(self._looker, self.terms.detect, name, [Path(photo) for photo in photos])
        return self._enroll(check_name(name), rows)

    def enroll_face(self, name: str, face: "PendingFace") -> Enrollment:
        """Enroll one face of a photo that may show others, as `see_face` kept it.

        Raises:
            PhotoError: the face is too small or blurred.
            GalleryError: the name cannot be used, the face is enrolled as somebody else, or the gallery cannot be
                changed.
        """
        kept = check_name(name)
        return self._enroll(kept, face.row(kept))

    def _enroll(self, kept: str, rows: Rows) -> Enrollment:
        sorting = self._engine.add(rows, whole=True)
        total = self._engine.known([kept])[kept]
        return Enrollment(kept, len(sorting.fresh), len(sorting.known), total, self._engine.find_duplicates([kept]))

    def enroll_all(self, people: Iterable[EnrollmentItem], *, workers: int = 0) -> Report:
        """Enroll photos of many people, see `read_people`; those that cannot be used are left out and reported.

        It is saved as it goes: a run that breaks off can be begun again, and leaves out what is enrolled already.

        Args:
            people: who is in which photo.
            workers: processes that look at the photos, through Ray; 0: this one does. The rows are the same.

        Raises:
            GalleryError: a name cannot be used, the gallery cannot be changed, or Ray is not installed; what was saved
                before stays.
        """
        looking = partial(look_in_passes, self._looker, self.terms.detect)
        if workers:
            looking = partial(look_with_workers, self._looker, self.terms.detect, workers)
        return BulkEnrollment(self._engine, looking).run(people)

    def rename(self, name: str, new: str) -> None:
        """Give a person another name.

        Raises:
            GalleryError: there is nobody of that name, the new one is taken or cannot be used, or the gallery cannot be
                changed.
        """
        self._engine.rename(check_name(name), check_name(new))

    def merge(self, name: str, into: str) -> None:
        """Give all photos of one person to another, as both are the same person.

        Raises:
            GalleryError: there is nobody of one of the names, or the gallery cannot be changed.
        """
        self._engine.merge(check_name(name), check_name(into))

    def forget(self, name: str) -> None:
        """Remove a person: afterwards no file of the gallery holds the name or an embedding.

        Raises:
            GalleryError: there is nobody of that name, or the gallery cannot be changed.
        """
        self._engine.forget(check_name(name))


def open_gallery(folder: str | Location, *, model: str | Path | None = None) -> Gallery:
    """Open a gallery with the model it was made with: by default the released weights or the pipeline's own.

    Args:
        folder: of the gallery, or its address in Milvus: `milvus:people.db`, `milvus:http://host:19530`.
        model: the model's folder, or a file that `onelook export-model` wrote: then torch is not even imported.

    Raises:
        GalleryError: the gallery is missing, damaged or made with another model.
        ModelError: the model is missing or damaged.
    """
    engine = open_backend(parse_location(folder))
    return Gallery(engine, open_predictor(own_model(engine.terms) if model is None else Path(model)))


def create_gallery(
    folder: str | Location,
    *,
    model: str | Path | None = None,
    calibration: str | Path | None = None,
) -> Gallery:
    """Begin a gallery of your own; it is written with the first enrollment.

    Args:
        folder: of the gallery, or its address in Milvus.
        model: the model's folder, or its exported file; by default the weights released with this package.
        calibration: the threshold; by default the `calibration.json` in the model's folder or beside its exported file,
            or where there is none that of the released weights for these, and for others the one that the pipeline's
            evaluation wrote.

    Raises:
        GalleryError: a gallery is there already, or the calibration is missing, damaged or another model's.
        ModelError: the model is missing or damaged.
    """
    where = parse_location(folder)
    if is_gallery(where) or (isinstance(where, Path) and where.exists() and not where.is_dir()):
        raise GalleryError(f"{where}: already holds something; name another, that does not exist yet")
    chosen = RELEASED if model is None else Path(model)
    looker = open_predictor(chosen)
    told = _calibration(chosen, looker.fingerprint) if calibration is None else Path(calibration)
    terms = calibrated_metadata(told, looker.fingerprint, looker.embedding_size, managed=False)
    return Gallery(create_backend(where, terms), looker)


def own_model(terms: GalleryMetadata) -> Path:
    """The released weights or the pipeline's model, whichever a gallery was made with; the latter where neither was."""
    return RELEASED if terms.fingerprint == fingerprint(RELEASED) else PIPELINE_MODEL


def _calibration(model: Path, made_of: str) -> Path:
    """Where the threshold of a model, in a folder or exported, is to be found; of that fingerprint."""
    beside = (model.parent if model.suffix == ".onnx" else model) / "calibration.json"
    if beside.is_file():
        return beside
    return RELEASED / "calibration.json" if made_of == fingerprint(RELEASED) else PIPELINE_CALIBRATION
