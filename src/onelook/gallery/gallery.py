"""Gallery: enroll people and identify faces, with one model and one backend."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onelook.data.image_io import read_image
from onelook.errors import GalleryError
from onelook.face_quality import Quality, measure_faces
from onelook.gallery.backend import GalleryBackend, check_model
from onelook.gallery.backend_factory import create_backend, is_gallery, open_backend
from onelook.gallery.bulk_enrollment import BulkEnrollment, EnrollmentReport, embed_in_batches
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.data import EnrolledFace, GalleryMetadata
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import EnrollmentBatch, batch_size, embed_person, quality_warnings
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.identification import UNKNOWN_FACE, Identification, IdentifiedFace, identify_faces
from onelook.gallery.location import Location, parse_location
from onelook.gallery.names import normalize_name
from onelook.gallery.ray_workers import embed_with_ray
from onelook.inference.loading import open_predictor
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import RELEASED, fingerprint

if TYPE_CHECKING:
    from onelook.gallery.pending_face import PendingFace

PIPELINE_MODEL = Path("build/model")
PIPELINE_CALIBRATION = Path("build/evaluation/calibration.json")
MODEL_VARIABLE = "ONELOOK_MODEL"
"""Environment variable with the model folder or exported file to use where none is named."""


@dataclass(frozen=True)
class Enrollment:
    """The result of enrolling one person.

    Attributes:
        name: the normalized name.
        added: number of photos enrolled.
        already_enrolled: number of photos that the person had already.
        total: number of photos the person has now.
        warnings: one line for each new photo whose face is hard to recognize.
        duplicates: people whose templates match this person's at the identification threshold.
    """

    name: str
    added: int
    already_enrolled: int
    total: int
    warnings: tuple[str, ...]
    duplicates: tuple[DuplicatePair, ...]


class Gallery:
    """A gallery opened together with its model; see `open_gallery` and `create_gallery`.

    A gallery in a folder is searched as it was when it was opened, refreshed or last changed through this object.
    Milvus is searched as it is at each call.

    Attributes:
        location: folder or Milvus address of the gallery.
    """

    def __init__(self, backend: GalleryBackend, predictor: Predictor, *, device: str = "auto") -> None:
        """Combine a backend with the model it was made with.

        Args:
            backend: the backend.
            predictor: the model, opened on its device.
            device: name of the device that Ray workers open the model on.

        Raises:
            GalleryError: the gallery was made with another model.
        """
        check_model(backend.location, backend.metadata, predictor)
        self.location = backend.location
        self._backend = backend
        self._predictor = predictor
        self._device = device

    @property
    def metadata(self) -> GalleryMetadata:
        """Return the model, detection settings and calibration of the gallery."""
        return self._backend.metadata

    @property
    def threshold(self) -> float:
        """Return the identification threshold of a typical face for the present number of people."""
        return self.metadata.typical_threshold(self._backend.count_people())

    @property
    def has_mesh_head(self) -> bool:
        """Return whether the model predicts face meshes."""
        return self._predictor.has_mesh_head

    @property
    def batch_size(self) -> int:
        """Return the number of images that callers pass to `identify_all` at once."""
        return batch_size(self._predictor)

    def people(self) -> dict[str, int]:
        """Return the number of enrolled photos of every person, sorted by name."""
        return self._backend.people()

    def faces_by_person(self) -> dict[str, list[EnrolledFace]]:
        """Read the enrolled faces of every person into memory, sorted by name."""
        return self._backend.faces_by_person()

    def revision(self) -> str:
        """Return a hash of the gallery's content, which every change changes."""
        return self._backend.revision()

    def refresh(self) -> None:
        """Reload what other processes changed; the gallery is empty if it was deleted.

        Raises:
            GalleryError: it is damaged, or made with another model.
        """
        self._backend.refresh()

    def identify(self, photo: str | Path | np.ndarray) -> list[IdentifiedFace]:
        """Detect and identify the faces of a photo, best detection score first.

        A person's similarity is the inner product of the face's embedding with the person's template: the L2-normalized
        mean of the enrolled embeddings, weighted by face quality. A face gets the name of the most similar person,
        unless that similarity is below the threshold. A face without a name that is too small, blurred or turned away
        to be called unknown has a `reason`.

        Args:
            photo: a path, or an upright RGB uint8 image (H, W, 3).

        Raises:
            PhotoError: the photo cannot be read.
        """
        return self.identify_all([photo if isinstance(photo, np.ndarray) else read_image(Path(photo))])[0]

    def identify_all(self, images: Sequence[np.ndarray]) -> list[list[IdentifiedFace]]:
        """Identify the faces of upright RGB uint8 images (H, W, 3) in one forward pass and one search."""
        detections = self._predictor.predict(list(images), self.metadata.detect)
        if not detections:
            return []
        embeddings = np.concatenate([detected.embeddings for detected in detections])
        qualities = measure_faces(
            [
                (image, detected.boxes[i], detected.landmarks[i], float(detected.scores[i]))
                for image, detected in zip(images, detections, strict=True)
                for i in range(len(detected))
            ],
            self.metadata.detect.longest_side,
        )
        identified = zip(qualities, self.identify_embeddings(embeddings, qualities), strict=True)
        return [
            [
                IdentifiedFace(
                    box=detected.boxes[i],
                    landmarks=detected.landmarks[i],
                    score=float(detected.scores[i]),
                    embedding=detected.embeddings[i],
                    quality=quality,
                    **vars(identification),
                    mesh=None if detected.meshes is None else detected.meshes[i],
                )
                for i, (quality, identification) in enumerate(islice(identified, len(detected)))
            ]
            for detected in detections
        ]

    def identify_embeddings(
        self, embeddings: np.ndarray, qualities: Sequence[Quality | None] | None = None
    ) -> list[Identification]:
        """Identify faces by their embeddings (n, d) float32, in one search.

        Args:
            embeddings: L2-normalized.
            qualities: of the faces; None: they were not measured, and no face is too poor to be named.
        """
        if not len(embeddings):
            return []
        found = self._backend.search(embeddings)
        if not found.people_count:
            return [UNKNOWN_FACE] * len(embeddings)
        return identify_faces(found, embeddings, qualities or [None] * len(embeddings), self.metadata)

    def enroll(self, name: str, photos: Sequence[str | Path]) -> Enrollment:
        """Enroll photos that each show one person alone: all of them, or none if one cannot be used.

        Raises:
            PhotoError: a photo cannot be read, or does not show exactly one face, frontal, large and sharp enough.
            GalleryError: the name cannot be used, a photo is enrolled as another person, or the gallery cannot be
                changed.
        """
        batch = embed_person(self._predictor, self.metadata, name, [Path(photo) for photo in photos])
        return self._add(normalize_name(name), batch)

    def enroll_face(self, name: str, face: "PendingFace") -> Enrollment:
        """Enroll one face of a photo that may show others; see `make_pending_face`.

        Raises:
            PhotoError: the face is too small, blurred or in profile.
            GalleryError: the name cannot be used, the face is enrolled as another person, or the gallery cannot be
                changed.
        """
        normalized = normalize_name(name)
        return self._add(normalized, face.to_batch(normalized, self.metadata.unusable))

    def _add(self, name: str, batch: EnrollmentBatch) -> Enrollment:
        result = self._backend.add(batch, all_or_nothing=True)
        total = self._backend.photo_counts([name])[name]
        duplicates = self._backend.find_duplicates([name])
        warnings = quality_warnings((batch.faces[i] for i in result.new), self.metadata)
        return Enrollment(name, len(result.new), len(result.already_enrolled), total, warnings, duplicates)

    def enroll_all(self, items: Iterable[EnrollmentItem], *, workers: int = 0) -> EnrollmentReport:
        """Enroll photos of many people; photos that cannot be used are skipped and reported.

        The gallery is saved at intervals. A run that was interrupted can be repeated and skips what is enrolled.

        Args:
            items: photos and names, see `read_enrollment_list`.
            workers: number of Ray processes that embed the photos; 0: this process does. The result is the same.

        Raises:
            GalleryError: a name cannot be used, the gallery cannot be changed, or Ray is not installed; earlier saves
                stay.
        """
        embed_photos = partial(embed_in_batches, self._predictor, self.metadata)
        if workers:
            embed_photos = partial(embed_with_ray, self._predictor, self.metadata, workers, self._device)
        return BulkEnrollment(self._backend, embed_photos).run(items)

    def rename(self, name: str, new: str) -> None:
        """Give a person a new name.

        Raises:
            GalleryError: nobody of that name is enrolled, the new name is taken or cannot be used, or the gallery
                cannot be changed.
        """
        self._backend.rename(normalize_name(name), normalize_name(new))

    def merge(self, name: str, into: str) -> None:
        """Relabel the photos of `name` as photos of `into`, because both are one person.

        Raises:
            GalleryError: nobody of one of the names is enrolled, or the gallery cannot be changed.
        """
        self._backend.merge(normalize_name(name), normalize_name(into))

    def forget(self, name: str) -> None:
        """Remove a person; no file of the gallery keeps the name or an embedding.

        Raises:
            GalleryError: nobody of that name is enrolled, or the gallery cannot be changed.
        """
        self._backend.forget(normalize_name(name))


def open_gallery(location: str | Location, *, model: str | Path | None = None, device: str = "auto") -> Gallery:
    """Open a gallery with the model it was made with.

    Args:
        location: folder of the gallery, or its Milvus address: `milvus:people.db`, `milvus:http://host:19530`.
        model: model folder, or a file that `onelook export-model` wrote, which needs no torch; None: see
            `default_model`.
        device: of the model: cpu, cuda, cuda:N or mps; auto: CUDA, else MPS, else the CPU.

    Raises:
        GalleryError: the gallery is missing, damaged or made with another model.
        ModelError: the model is missing or damaged.
        OnelookError: the device is unknown or not available.
    """
    backend = open_backend(parse_location(location))
    path = default_model(backend.metadata) if model is None else Path(model)
    return Gallery(backend, open_predictor(path, device), device=device)


def create_gallery(
    location: str | Location,
    *,
    model: str | Path | None = None,
    calibration: str | Path | None = None,
    device: str = "auto",
) -> Gallery:
    """Create an empty gallery, which the first enrollment writes.

    Args:
        location: folder of the gallery, or its Milvus address.
        model: model folder or exported file; None: the one that ONELOOK_MODEL names, else the released weights.
        calibration: the calibration.json with the threshold. The default is the first of these that exists:
            - the one in the model's folder, or beside the exported file;
            - for the released weights, theirs;
            - the one that the pipeline's evaluation wrote.
        device: of the model, see `open_gallery`.

    Raises:
        GalleryError: the location is occupied, or the calibration is missing, damaged or another model's.
        ModelError: the model is missing or damaged.
        OnelookError: the device is unknown or not available.
    """
    parsed = parse_location(location)
    if is_gallery(parsed) or (isinstance(parsed, Path) and parsed.exists() and not parsed.is_dir()):
        raise GalleryError(f"{parsed}: already holds something; name another, that does not exist yet")
    model_path = Path(model or os.environ.get(MODEL_VARIABLE) or RELEASED)
    predictor = open_predictor(model_path, device)
    if calibration is None:
        calibration = _find_calibration(model_path, predictor.fingerprint)
    metadata = read_calibrated_metadata(
        Path(calibration), predictor.fingerprint, predictor.embedding_size, managed=False
    )
    return Gallery(create_backend(parsed, metadata), predictor, device=device)


def default_model(metadata: GalleryMetadata) -> Path:
    """Return the model that ONELOOK_MODEL names, else the released weights or the pipeline's, as the gallery needs."""
    if os.environ.get(MODEL_VARIABLE):
        return Path(os.environ[MODEL_VARIABLE])
    return RELEASED if metadata.fingerprint == fingerprint(RELEASED) else PIPELINE_MODEL


def _find_calibration(model: Path, model_fingerprint: str) -> Path:
    own = (model.parent if model.suffix == ".onnx" else model) / "calibration.json"
    if own.is_file():
        return own
    return RELEASED / "calibration.json" if model_fingerprint == fingerprint(RELEASED) else PIPELINE_CALIBRATION
