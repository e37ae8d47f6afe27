"""Search of a folder for the photos that show one person, by an example instead of a gallery."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.errors import OnelookError
from onelook.faces import Face, make_faces
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.enrollment import batch_size
from onelook.gallery.verification import verify_faces
from onelook.inference.parallel import batched, parallel_map
from onelook.inference.predictor import Predictor
from onelook.media.discovery import MediaFile, find_media_files
from onelook.media.photo_identification import batch_photos, load_photo
from onelook.names import escape_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face of a photo that matches the example.

    Attributes:
        photo: path of the photo.
        face: the face.
        similarity: cosine similarity with the example, -1..1.
        confidence: probability that it is the person, 0..1, if half of the faces are.
    """

    photo: Path
    face: Face
    similarity: float
    confidence: float

    def to_dict(self) -> dict[str, object]:
        """Convert to a JSON object without embedding, pixels rounded to three decimals, others to six."""
        return {
            "photo": escape_path(self.photo),
            **self.face.to_dict(),
            "similarity": round(self.similarity, 6),
            "confidence": round(self.confidence, 6),
        }


@dataclass(frozen=True)
class SearchReport:
    """The result of a search.

    Attributes:
        found: the best face of each photo that shows the person, most similar first.
        photos: number of photos that were searched.
        faces: number of faces in them.
        videos: number of videos in the folder, which are not searched.
        errors: one line for each photo that cannot be read.
    """

    found: list[FoundFace]
    photos: int
    faces: int
    videos: int
    errors: tuple[str, ...]


class PersonSearch:
    """A search for the person of an example."""

    def __init__(self, predictor: Predictor, metadata: GalleryMetadata, example: Face) -> None:
        """Take the model, its calibration at the rate of the search, and the face to search for."""
        self._predictor = predictor
        self._metadata = metadata
        self._example = example

    def run(self, folder: Path, on_photo: Callable[[int], None] = lambda total: None) -> SearchReport:
        """Search the photos of a folder and its subfolders.

        Args:
            folder: the folder.
            on_photo: called after each photo, with the number of all photos.

        Raises:
            OnelookError: there is no such folder.
        """
        if not folder.is_dir():
            raise OnelookError(f"{folder}: no such folder; name the folder to search")
        counts: Counter[str] = Counter()
        found: list[FoundFace] = []
        errors: list[str] = []
        files = list(find_media_files([folder]))
        photos = [file for file in files if file.kind == "photo"]
        with closing(parallel_map(self._search_batch, batched(photos, batch_size(self._predictor)))) as batches:
            for batch in batches:
                for faces, best, error in batch:
                    counts["faces"] += faces
                    found += [] if best is None else [best]
                    if error is None:
                        counts["photos"] += 1
                    else:
                        errors.append(error)
                        logger.warning("left out: %s", error)
                    on_photo(len(photos))
        found.sort(key=lambda each: (-each.similarity, each.photo))
        return SearchReport(found, counts["photos"], counts["faces"], len(files) - len(photos), tuple(errors))

    def _search_batch(self, files: Sequence[MediaFile]) -> list[tuple[int, FoundFace | None, str | None]]:
        """Return for each photo its number of faces, its best match, and the error that rules it out."""
        results: list[tuple[int, FoundFace | None, str | None]] = []
        for photos in batch_photos(map(load_photo, files), batch_size(self._predictor)):
            images = [image for _, image in photos if isinstance(image, np.ndarray)]
            detections = self._predictor.predict(images, self._metadata.detect)
            faces = iter(make_faces(images, detections, self._metadata.detect.longest_side))
            for file, image in photos:
                if isinstance(image, np.ndarray):
                    shown = next(faces)
                    results.append((len(shown), self._best_match(file.path, shown), None))
                else:
                    results.append((0, None, str(image)))
        return results

    def _best_match(self, photo: Path, faces: Sequence[Face]) -> FoundFace | None:
        compared = [verify_faces(self._example, face, self._metadata, self._metadata.target_fpir) for face in faces]
        matches = [each for each in compared if each.is_same]
        if not matches:
            return None
        best = max(matches, key=lambda each: each.similarity)
        return FoundFace(photo, best.second, best.similarity, best.confidence)
