"""From a photo to an enrolled row: names and photos a gallery takes, and those it refuses."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.data.photo import read_photo
from onelook.data.scene import Manifest, Split
from onelook.errors import GalleryError, PhotoError
from onelook.files import sha256
from onelook.gallery.store import Contents, Entry
from onelook.geometry.boxes import pairwise_iou
from onelook.model.look import Looker
from onelook.settings import Detect

LONGEST_NAME = 200
UNKNOWN = "unknown"
# The usual bar of detection benchmarks (PASCAL VOC): under it a detection is not the labelled face.
LEAST_IOU = 0.5
# Joiners that Persian and Indic names are written with; every other invisible character is refused.
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows ready for a gallery: entries and their embeddings (n, d) float32."""

    entries: tuple[Entry, ...]
    embeddings: np.ndarray


def check_name(name: str) -> str:
    """The name as it is kept: Unicode NFC, without blanks around it, so that one name is one person.

    Raises:
        GalleryError: it is empty, too long, reserved, or has characters that cannot be seen.
    """
    kept = unicodedata.normalize("NFC", name).strip()
    if not kept:
        raise GalleryError("the name is empty; give the person's name")
    if not "".join(character for character in kept if character not in _JOINERS).isprintable():
        raise GalleryError(f"{kept!a}: a name must not hold control or invisible characters")
    if len(kept) > LONGEST_NAME:
        raise GalleryError(f"{kept[:20]}…: a name may have {LONGEST_NAME} characters, this one has {len(kept)}")
    if kept.casefold() == UNKNOWN:
        raise GalleryError(f"{kept}: this name is reserved for people who are not enrolled; choose another")
    return kept


def photo_name(path: Path) -> str:
    """A path as text that can always be written as UTF-8 and in one line, whatever bytes the file's name has."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def rows_of_person(looker: Looker, detect: Detect, name: str, photos: Sequence[Path]) -> Rows:
    """Look at photos that each show one person alone.

    Raises:
        GalleryError: the name cannot be used.
        PhotoError: a photo cannot be read, or does not show exactly one face.
    """
    kept = check_name(name)
    embeddings = [_only_face(looker, detect, photo) for photo in photos]
    entries = tuple(Entry(person=kept, photo=photo_name(photo), sha256=sha256(photo)) for photo in photos)
    return Rows(entries, _stack(embeddings, looker.embedding_size))


def rows_of_scenes(looker: Looker, detect: Detect, manifest: Manifest, split: Split) -> tuple[Rows, list[Path]]:
    """Look at the labelled enrolment photos of a split; in each, the labelled people are taken and others left out.

    Returns:
        The rows, in the manifest's order, and the photos in which a labelled person's face was not found.

    Raises:
        PhotoError: a photo cannot be read.
        GalleryError: nobody's face was found.
    """
    entries: list[Entry] = []
    embeddings: list[np.ndarray] = []
    missed: list[Path] = []
    for scene in manifest.select(split, "enrol"):
        path = manifest.path(scene)
        found = looker.look([read_photo(path)], detect)[0]
        for face in scene.faces:
            if face.identity is None:
                continue
            overlaps = pairwise_iou(face.box[None], found.boxes)[0]
            if len(found) == 0 or overlaps.max() < LEAST_IOU:
                missed.append(path)
                continue
            entries.append(Entry(person=check_name(face.identity), photo=photo_name(path), sha256=sha256(path)))
            embeddings.append(found.embeddings[overlaps.argmax()])
    if not entries:
        raise GalleryError(f"{manifest.root}: no enrolment photo of {split} has its face found; nobody can be enrolled")
    return Rows(tuple(entries), _stack(embeddings, looker.embedding_size)), missed


def add_new(contents: Contents, rows: Rows) -> Contents:
    """The contents with those rows added whose person does not have the photo already.

    Raises:
        GalleryError: a photo is enrolled as somebody else.
    """
    owners = {entry.sha256: entry.person for entry in contents.entries}
    fresh: list[int] = []
    for number, entry in enumerate(rows.entries):
        owner = owners.setdefault(entry.sha256, entry.person)
        if owner != entry.person:
            raise GalleryError(f"{entry.photo}: this photo is enrolled as {owner}; nobody was enrolled")
        if all(rows.entries[other].sha256 != entry.sha256 for other in fresh) and not _has(contents, entry):
            fresh.append(number)
    return contents.adding(tuple(rows.entries[number] for number in fresh), rows.embeddings[fresh])


def _has(contents: Contents, entry: Entry) -> bool:
    return any(known.sha256 == entry.sha256 for known in contents.entries)


def _only_face(looker: Looker, detect: Detect, path: Path) -> np.ndarray:
    found = looker.look([read_photo(path)], detect)[0]
    if len(found) == 0:
        raise PhotoError(f"{path}: no face found, nobody was enrolled; use a photo with one clear face")
    if len(found) > 1:
        raise PhotoError(
            f"{path}: {len(found)} faces found, nobody was enrolled; use a photo with one face, or crop it"
        )
    return found.embeddings[0]


def _stack(embeddings: list[np.ndarray], size: int) -> np.ndarray:
    return np.asarray(embeddings, np.float32).reshape(len(embeddings), size)
