"""Gallery: enroll people and identify faces, with one model and one backend."""

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from io import IOBase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onelook.data.image_input import ColorOrder, ImageSource, as_image, is_image_source
from onelook.errors import GalleryError
from onelook.face_quality import Quality
from onelook.faces import Face, make_faces
from onelook.gallery.backend import GalleryBackend, check_model
from onelook.gallery.backend_factory import create_backend, is_gallery, open_backend
from onelook.gallery.bulk_enrollment import BulkEnrollment, EnrollmentReport, embed_in_batches
from onelook.gallery.calibrated_model import MODEL_VARIABLE, PIPELINE_MODEL, read_model_metadata, resolve_model
from onelook.gallery.data import EnrolledFace, GalleryMetadata
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import EnrollmentBatch, batch_size, quality_warnings
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.face_selection import FaceChoice
from onelook.gallery.gallery_difference import Change
from onelook.gallery.identification import UNKNOWN_FACE, Identification, IdentifiedFace, identify_faces
from onelook.gallery.location import Location, parse_location
from onelook.gallery.photo_enrollment import embed_person
from onelook.gallery.photo_removal import remove_photo
from onelook.gallery.ray_workers import embed_with_ray
from onelook.gallery.rejections import withdraw_rejected
from onelook.inference.loading import open_predictor
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import RELEASED, fingerprint
from onelook.names import normalize_name

if TYPE_CHECKING:
    from onelook.gallery.pending_face import PendingFace


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
        fpir: false-positive identification rate of this object; None: that of the gallery.
    """

    def __init__(
        self, backend: GalleryBackend, predictor: Predictor, *, device: str = "auto", fpir: float | None = None
    ) -> None:
        """Combine a backend with the model it was made with.

        Args:
            backend: the backend.
            predictor: the model, opened on its device.
            device: name of the device that Ray workers open the model on.
            fpir: see `open_gallery`.

        Raises:
            GalleryError: the gallery was made with another model, or cannot be searched at this rate.
        """
        check_model(backend.location, backend.metadata, predictor)
        if fpir is not None:
            backend.metadata.with_fpir(fpir)  # raises an error where that is impossible
        self.fpir = fpir
        self.location = backend.location
        self._backend = backend
        self._predictor = predictor
        self._device = device

    @property
    def metadata(self) -> GalleryMetadata:
        """Return the model, detection settings and calibration of the gallery."""
        metadata = self._backend.metadata
        return metadata if self.fpir is None else metadata.with_fpir(self.fpir)

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

    def find_enrolled(self, digests: Sequence[str]) -> dict[str, str]:
        """Map the SHA-256 digests of enrolled photos to their people, without photos that are not enrolled."""
        return self._backend.find_enrolled(digests)

    def describe_search(self) -> str:
        """Describe how people are searched, in a few words: "exact search", or with which approximation."""
        return self._backend.describe_search()

    def revision(self) -> str:
        """Return a hash of the gallery's content, which every change changes."""
        return self._backend.revision()

    def refresh(self) -> None:
        """Reload what other processes changed; the gallery is empty if it was deleted.

        Raises:
            GalleryError: it is damaged, or made with another model.
        """
        self._backend.refresh()

    def identify(self, photo: ImageSource, *, color: ColorOrder = "rgb") -> list[IdentifiedFace]:
        """Detect and identify the faces of a photo, best detection score first.

        A person's similarity is the inner product of the face's embedding with the person's template: the L2-normalized
        mean of the enrolled embeddings, weighted by face quality. A face gets the name of the most similar person,
        unless that similarity is below the threshold. A face without a name that is too small, blurred or turned away
        to be called unknown has a `reason`.

        Args:
            photo: path, bytes of a file, image of Pillow, or array; see `onelook.as_image`.
            color: order of the channels of an array, "rgb" or "bgr".

        Raises:
            PhotoError: the photo cannot be read.
        """
        return self.identify_all([as_image(photo, color=color)])[0]

    def identify_all(self, photos: Sequence[ImageSource]) -> list[list[IdentifiedFace]]:
        """Identify the faces of photos, as `identify` does, in one forward pass and one search."""
        faces = self.detect_all(photos)
        identified = iter(self.identify_detected([face for each in faces for face in each]))
        return [[next(identified) for _ in each] for each in faces]

    def detect_all(self, photos: Sequence[ImageSource]) -> list[list[Face]]:
        """Detect and embed the faces of photos, as `onelook.detect` does, in one forward pass.

        Several threads may call it at once: only the model is used, not the enrolled people.
        """
        images = [as_image(photo) for photo in photos]
        detect = self.metadata.detect
        return make_faces(images, self._predictor.predict(images, detect), detect.longest_side)

    def identify_detected(self, faces: Sequence[Face]) -> list[IdentifiedFace]:
        """Identify faces that were detected with this gallery's model, in one search."""
        embeddings = np.asarray([face.embedding for face in faces], np.float32)
        identified = self.identify_embeddings(embeddings, [face.quality for face in faces])
        return [IdentifiedFace(**vars(face), **vars(each)) for face, each in zip(faces, identified, strict=True)]

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
        identified = identify_faces(found, embeddings, qualities or [None] * len(embeddings), self.metadata)
        threshold = self.metadata.threshold_for(found.people_count)
        return withdraw_rejected(identified, embeddings, self._backend.rejections(), threshold)

    def enroll(
        self,
        name: str,
        photos: ImageSource | Sequence[ImageSource],
        *,
        face: FaceChoice = None,
        color: ColorOrder = "rgb",
    ) -> Enrollment:
        """Enroll photos of a person: all of them, or none if one cannot be used.

        Args:
            name: name of the person.
            photos: a photo or several, see `onelook.as_image`.
            face: the face of the person in photos that show others, too: "largest", its number from 1 in the order of
                `onelook.detect`, or a box (x, y, width, height) around it; None: each photo must show one face.
            color: order of the channels of arrays, "rgb" or "bgr".

        Raises:
            PhotoError: a photo cannot be read, or does not show exactly one face, frontal, large and sharp enough.
            GalleryError: the name cannot be used, a photo is enrolled as another person, or the gallery cannot be
                changed.
        """
        # Anything else that is no photo is refused as one.
        is_several = isinstance(photos, Iterable) and not isinstance(photos, IOBase) and not is_image_source(photos)
        several: Sequence[ImageSource] = photos if is_several else [photos]  # type: ignore[assignment,list-item]
        batch = embed_person(self._predictor, self.metadata, name, several, face, color)
        return self._add(normalize_name(name), batch)

    def enroll_face(self, name: str, face: "PendingFace") -> Enrollment:
        """Enroll one face of a photo that may show others; see `make_pending_face`.

        Raises:
            PhotoError: the face is too small, blurred or in profile.
            GalleryError: the name cannot be used, the face is enrolled as another person, or the gallery cannot be
                changed.
        """
        return self.enroll_faces(name, [face])

    def enroll_faces(self, name: str, faces: Sequence["PendingFace"]) -> Enrollment:
        """Enroll faces of one person, at least one: all of them, or none if one cannot be used.

        Raises:
            PhotoError: a face is too small, blurred or in profile.
            GalleryError: the name cannot be used, a face is enrolled as another person, or the gallery cannot be
                changed.
        """
        normalized = normalize_name(name)
        batches = [face.to_batch(normalized, self.metadata.unusable) for face in faces]
        embeddings = np.concatenate([batch.embeddings for batch in batches])
        return self._add(normalized, EnrollmentBatch(tuple(face for b in batches for face in b.faces), embeddings))

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

    @property
    def can_revert(self) -> bool:
        """Return whether changes can be undone, and rejections kept: both in a folder, neither in Milvus."""
        return self._backend.can_revert

    def record_changes(self) -> AbstractContextManager[list[Change]]:
        """Yield a list to which the changes made through this object are appended, for `revert`."""
        return self._backend.record_changes()

    def revert(self, changes: Sequence[Change]) -> None:
        """Undo changes that `record_changes` recorded.

        Raises:
            GalleryError: the gallery has been changed since, or cannot be changed.
        """
        self._backend.revert(changes)

    def remove_photos(self, name: str, digests: Collection[str]) -> None:
        """Remove wrong photos of a person who has others, by their SHA-256 digests; see `EnrolledFace.sha256`.

        Raises:
            GalleryError: nobody of that name is enrolled, no photo would be left, or the gallery cannot be changed.
        """
        self._backend.remove_photos(normalize_name(name), digests)

    def reject(self, name: str, embedding: np.ndarray) -> None:
        """Record that a face is not the person it was taken for; faces like it no longer get the name.

        Args:
            name: the person that the face is not.
            embedding: (d,) float32, L2-normalized, of the face.

        Raises:
            GalleryError: nobody of that name is enrolled, or the gallery cannot be changed, or is in Milvus.
        """
        self._backend.reject(normalize_name(name), embedding)

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

    def remove(self, name: str, photo: str | Path) -> int:
        """Remove one photo of a person who has others.

        Args:
            name: the person.
            photo: path of the photo as it was enrolled, a file with the same content, or the file name.

        Returns:
            The number of faces removed: more than one if the photo shows the person more than once.

        Raises:
            GalleryError: nobody of that name is enrolled, the photo is not enrolled, ambiguous or the only one, or the
                gallery cannot be changed.
        """
        return remove_photo(self._backend, normalize_name(name), Path(photo))

    def forget(self, name: str) -> None:
        """Remove a person; no file of the gallery keeps the name or an embedding.

        Raises:
            GalleryError: nobody of that name is enrolled, or the gallery cannot be changed.
        """
        self._backend.forget(normalize_name(name))


def open_gallery(
    location: str | Location,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    fpir: float | None = None,
) -> Gallery:
    """Open a gallery with the model it was made with.

    Args:
        location: folder of the gallery, or its Milvus address: `milvus:people.db`, `milvus:http://host:19530`.
        model: model folder, or a file that `onelook export-model` wrote, which needs no torch; None: see
            `default_model`.
        device: of the model: cpu, cuda, cuda:N or mps; auto: CUDA, else MPS, else the CPU.
        fpir: false-positive identification rate to identify at, 0 to 1; None: that of the gallery.

    Raises:
        GalleryError: the gallery is missing, damaged or made with another model, or cannot be searched at this rate.
        ModelError: the model is missing or damaged.
        OnelookError: the device is unknown or not available.
    """
    backend = open_backend(parse_location(location))
    path = default_model(backend.metadata) if model is None else Path(model)
    return Gallery(backend, open_predictor(path, device), device=device, fpir=fpir)


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
    predictor = open_predictor(resolve_model(model), device)
    metadata = read_model_metadata(model, predictor, calibration)
    return Gallery(create_backend(parsed, metadata), predictor, device=device)


def default_model(metadata: GalleryMetadata) -> Path:
    """Return the model that ONELOOK_MODEL names, else the released weights or the pipeline's, as the gallery needs."""
    if os.environ.get(MODEL_VARIABLE):
        return Path(os.environ[MODEL_VARIABLE])
    return RELEASED if metadata.fingerprint == fingerprint(RELEASED) else PIPELINE_MODEL
