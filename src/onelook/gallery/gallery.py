"""A gallery and the model that made it: enrol people, and say who is in a photo."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.data.photo import read_photo
from onelook.errors import GalleryError
from onelook.gallery import store
from onelook.gallery.alike import Alike, lookalikes
from onelook.gallery.answers import NOBODY, Answer, IdentifiedFace, read_ranking
from onelook.gallery.bulk import BulkEnrolment, Report
from onelook.gallery.calibration import calibrated_terms
from onelook.gallery.contents import Contents, Entry, Terms, empty
from onelook.gallery.enrolment import Rows, add_new, rows_of_person
from onelook.gallery.names import check_name
from onelook.gallery.people_list import Named
from onelook.gallery.search import TemplateIndex
from onelook.gallery.seen import SeenFace
from onelook.model.look import Looker, load_looker
from onelook.model.store import RELEASED, fingerprint

PIPELINE_MODEL = Path("build/model")
PIPELINE_CALIBRATION = Path("build/evaluation/calibration.json")


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment did.

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
    alike: tuple[Alike, ...]


class Gallery:
    """A gallery folder opened with its model.

    It answers from what the folder held when it was opened or last changed through this object.
    """

    def __init__(self, folder: Path, contents: Contents, looker: Looker) -> None:
        """Take a gallery's contents and the model; see `open_gallery` and `create_gallery`.

        Raises:
            GalleryError: the gallery was made with another model.
        """
        check_model(folder, contents.terms, looker)
        self.folder = folder
        self._looker = looker
        self._header: bytes | None = b""
        self._take(contents)

    @property
    def terms(self) -> Terms:
        """What the gallery was made with."""
        return self._contents.terms

    @property
    def threshold(self) -> float:
        """The lowest similarity at which a face gets a name now: it follows the number of people."""
        return self.terms.threshold_for(len(self._index.names))

    @property
    def tells_meshes(self) -> bool:
        """Whether the model has a mesh head."""
        return self._looker.tells_meshes

    def people(self) -> dict[str, int]:
        """How many photos everyone is enrolled with, sorted by name."""
        return {name: len(rows) for name, rows in self._contents.people().items()}

    def rows(self) -> dict[str, list[Entry]]:
        """What everyone is enrolled with, people sorted by name."""
        return self._contents.people()

    def refresh(self) -> None:
        """Take what the folder holds now, where another process may have changed it; nobody where there is none.

        Raises:
            GalleryError: it is damaged, or made with another model.
        """
        header = store.read_header(self.folder)  # before the rest: a change in between is seen the next time
        if header != self._header:
            begun = self.terms.model_copy(update={"managed": False})
            contents = empty(begun) if header is None else store.read(self.folder)
            check_model(self.folder, contents.terms, self._looker)
            self._take(contents)
            self._header = header

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
        return self.identify_all([photo if isinstance(photo, np.ndarray) else read_photo(Path(photo))])[0]

    def identify_all(self, images: Sequence[np.ndarray]) -> list[list[IdentifiedFace]]:
        """The faces of upright RGB uint8 images (H, W, 3), as `identify`: one look and one search for all of them."""
        looks = self._looker.look(list(images), self.terms.detect)
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

    def name(self, embeddings: np.ndarray) -> list[Answer]:
        """Who faces are whose embeddings (n, d) float32 are given, all in one search; as `identify`."""
        names = self._index.names
        if not names:
            return [NOBODY] * len(embeddings)
        return read_ranking(self._index.search(embeddings), names, self.threshold, self.terms.unknown)

    def enrol(self, name: str, photos: Sequence[str | Path]) -> Enrolment:
        """Enrol photos of one person, each with that face alone: all of them, or none if one cannot be used.

        Raises:
            PhotoError: a photo cannot be read, or does not show exactly one face, large and sharp enough.
            GalleryError: the name cannot be used, a photo is enrolled as somebody else, or the gallery cannot be
                changed.
        """
        rows = rows_of_person(self._looker, self.terms.detect, name, [Path(photo) for photo in photos])
        return self._enrol(check_name(name), rows)

    def enrol_face(self, name: str, face: SeenFace) -> Enrolment:
        """Enrol one face of a photo that may show others, as `see_face` kept it.

        Raises:
            PhotoError: the face is too small or blurred.
            GalleryError: the name cannot be used, the face is enrolled as somebody else, or the gallery cannot be
                changed.
        """
        kept = check_name(name)
        return self._enrol(kept, face.row(kept))

    def _enrol(self, kept: str, rows: Rows) -> Enrolment:
        before = 0

        def add(contents: Contents) -> Contents:
            nonlocal before
            before = len(contents.entries)
            return add_new(contents, rows)

        self._take(self._change(add))
        added = len(self._contents.entries) - before
        alike = lookalikes(self._contents, [kept])
        return Enrolment(kept, added, len(rows.entries) - added, self.people()[kept], alike)

    def enrol_all(self, people: Iterable[Named]) -> Report:
        """Enrol photos of many people, see `read_people`; those that cannot be used are left out and reported.

        It is saved as it goes: a run that breaks off can be begun again, and leaves out what is enrolled already.

        Raises:
            GalleryError: a name cannot be used, or the gallery cannot be changed; what was saved before stays.
        """
        contents, report = BulkEnrolment(self._looker, self._contents, self._change).run(people)
        self._take(contents)
        return report

    def rename(self, name: str, new: str) -> None:
        """Give a person another name.

        Raises:
            GalleryError: there is nobody of that name, the new one is taken or cannot be used, or the gallery cannot be
                changed.
        """
        self._take(store.change(self.folder, lambda contents: contents.renamed(check_name(name), check_name(new))))

    def merge(self, name: str, into: str) -> None:
        """Give all photos of one person to another, as both are the same person.

        Raises:
            GalleryError: there is nobody of one of the names, or the gallery cannot be changed.
        """
        self._take(store.change(self.folder, lambda contents: contents.merged(check_name(name), check_name(into))))

    def forget(self, name: str) -> None:
        """Remove a person: afterwards no file of the gallery holds the name or an embedding.

        Raises:
            GalleryError: there is nobody of that name, or the gallery cannot be changed.
        """
        self._take(store.change(self.folder, lambda contents: contents.without(check_name(name))))

    def _change(self, edit: Callable[[Contents], Contents]) -> Contents:
        """Change the folder by rows of this gallery's model, or begin it."""

        def checked(contents: Contents) -> Contents:
            check_model(self.folder, contents.terms, self._looker)
            return edit(contents)

        return store.change(self.folder, checked, start=self.terms)

    def _take(self, contents: Contents) -> None:
        self._contents = contents
        self._index = TemplateIndex(contents.weighted(), contents.owners)


def open_gallery(folder: str | Path, *, model: str | Path | None = None) -> Gallery:
    """Open a gallery with the model it was made with: by default the released weights or the pipeline's own.

    Raises:
        GalleryError: the gallery is missing, damaged or made with another model.
        ModelError: the model is missing or damaged.
    """
    contents = store.read(Path(folder))
    return Gallery(Path(folder), contents, load_looker(own_model(contents.terms) if model is None else Path(model)))


def create_gallery(
    folder: str | Path,
    *,
    model: str | Path | None = None,
    calibration: str | Path | None = None,
) -> Gallery:
    """Begin a gallery of your own; the folder is written with the first enrolment.

    Args:
        folder: of the gallery.
        model: the model's folder; by default the weights released with this package.
        calibration: the threshold; by default the `calibration.json` in the model's folder, or where there is none the
            one that the pipeline's evaluation wrote.

    Raises:
        GalleryError: the folder holds something already, or the calibration is missing, damaged or another model's.
        ModelError: the model is missing or damaged.
    """
    path = Path(folder)
    if path.exists() and (not path.is_dir() or store.is_gallery(path)):
        raise GalleryError(f"{path}: already holds something; name a folder that does not exist yet")
    chosen = RELEASED if model is None else Path(model)
    if calibration is None:
        beside = chosen / "calibration.json"
        calibration = beside if beside.is_file() else PIPELINE_CALIBRATION
    looker = load_looker(chosen)
    terms = calibrated_terms(Path(calibration), looker.fingerprint, looker.embedding_size, managed=False)
    return Gallery(path, empty(terms), looker)


def own_model(terms: Terms) -> Path:
    """The released weights or the pipeline's model, whichever a gallery was made with; the latter where neither was."""
    return RELEASED if terms.fingerprint == fingerprint(RELEASED) else PIPELINE_MODEL


def check_model(folder: Path, terms: Terms, looker: Looker) -> None:
    """Refuse a model other than the one a gallery was made with.

    Raises:
        GalleryError: it is another.
    """
    if (terms.fingerprint, terms.embedding_size) != (looker.fingerprint, looker.embedding_size):
        raise GalleryError(
            f"{folder}: made with model {terms.fingerprint[:12]}, this is model {looker.fingerprint[:12]}; embeddings "
            "of two models cannot be compared: name its own model (--model), or enrol again in a new folder"
        )
