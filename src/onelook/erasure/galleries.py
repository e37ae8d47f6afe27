"""Search and erase a person in galleries, backups and exports."""

import csv
import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from onelook.erasure.discovery import TABLE_NAME, unreadable
from onelook.erasure.finding import Finding, format_counts, replace_file
from onelook.erasure.person import Person
from onelook.experiment.gallery_copies import MLMODEL_FILE
from onelook.gallery import storage
from onelook.gallery.backup import backup_bytes, read_backup
from onelook.gallery.data import GalleryData
from onelook.media.embeddings_file import FILE_NAME as EMBEDDINGS_NAME


def search_gallery(folder: Path, data: GalleryData, person: Person) -> Iterator[Finding]:
    """Search a gallery folder."""
    in_registry = any((parent / MLMODEL_FILE).is_file() for parent in folder.parents)
    kind = "gallery in MLflow" if in_registry else "gallery"
    content = _describe(data, person)
    if content is not None and _is_namesake(data, person):
        yield _namesake(folder, kind, f"`onelook forget --gallery {folder}` removes that person")
    elif content is not None and data.metadata.managed and not in_registry:
        advice = "the pipeline rebuilds it: remove the person's photos from its data, then `dvc repro`"
        yield Finding(folder, f"{kind} of the pipeline: {content}", advice=advice)
    elif content is not None:
        # A copy in the registry is never restored, so it needs no record of who was forgotten.
        edit = partial(erase_person, person=person, keeps_record=not in_registry)
        yield Finding(folder, f"{kind}: {content}", partial(_erase_gallery, folder, edit))
    elif storage.has_remains(folder):
        yield Finding(
            folder, f"{kind}: files that an interrupted change left", partial(_erase_gallery, folder, lambda data: data)
        )
    yield from _other_names(folder, kind, data, person)


def search_backup(path: Path, data: GalleryData, person: Person) -> Iterator[Finding]:
    """Search a backup."""
    content = _describe(data, person)
    if content is not None and _is_namesake(data, person):
        yield _namesake(path, "backup", "restore it elsewhere and forget that person there")
    elif content is not None:
        yield Finding(path, f"backup: {content}", partial(_erase_backup, path, person))
    yield from _other_names(path, "backup", data, person)


def search_export(folder: Path, person: Person) -> Iterator[Finding]:
    """Search the folder of an export."""
    try:
        lines, embeddings, fingerprint = _read_export(folder)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        yield unreadable(folder, error)
        return
    rows = [i for i, line in enumerate(lines[1:]) if line and person.is_named(line[0])]
    if rows and person.is_namesake(fingerprint, embeddings[rows]):
        yield _namesake(folder, "export", "remove the lines by hand")
    elif rows:
        yield Finding(folder, f"export: {format_counts({'line': len(rows)})}", partial(_erase_export, folder, rows))


def erase_person(data: GalleryData, person: Person, *, keeps_record: bool) -> GalleryData:
    """Remove a person from gallery data: the faces of the name, and the corrections of the name or face."""
    if person.name in data.identities:
        data = data.forget(person.name) if keeps_record else data.remove(person.name)
    return data.without_rejections(_matched_rejections(data, person))


def _erase_gallery(folder: Path, edit: Callable[[GalleryData], GalleryData]) -> None:
    storage.update(folder, edit, allow_managed=True)


def _erase_backup(path: Path, person: Person) -> None:
    replace_file(path, backup_bytes(erase_person(read_backup(path), person, keeps_record=True)))


def _erase_export(folder: Path, rows: list[int]) -> None:
    """Blank the lines of the person and zero their embeddings.

    Both files keep their number of rows, so that a kill between the two replacements shifts no row of others.
    """
    lines, embeddings, fingerprint = _read_export(folder)
    embeddings[rows] = 0
    replace_file(folder / EMBEDDINGS_NAME, save({"embeddings": embeddings}, {"fingerprint": fingerprint}))
    for row in rows:
        lines[row + 1] = [""] * len(lines[0])
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    replace_file(folder / TABLE_NAME, text.getvalue().encode())


def _read_export(folder: Path) -> tuple[list[list[str]], np.ndarray, str]:
    """Read the lines of the table, header included, the embeddings and the fingerprint of their model."""
    with (folder / TABLE_NAME).open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    with safe_open(folder / EMBEDDINGS_NAME, framework="numpy") as file:
        embeddings, fingerprint = file.get_tensor("embeddings"), file.metadata()["fingerprint"]
    if len(lines) != len(embeddings) + 1:
        raise ValueError(f"{len(lines) - 1} lines and {len(embeddings)} embeddings")
    return lines, embeddings, fingerprint


def _describe(data: GalleryData, person: Person) -> str | None:
    """Describe what gallery data holds of a person; None: nothing."""
    counts = {"photo": data.identities.count(person.name), "correction": len(_matched_rejections(data, person))}
    return format_counts(counts) or None


def _matched_rejections(data: GalleryData, person: Person) -> list[int]:
    vectors = np.asarray([each.vector for each in data.rejections], np.float32)
    faces = person.match(data.metadata.fingerprint, vectors.reshape(len(vectors), data.metadata.embedding_size))
    return [i for i, each in enumerate(data.rejections) if faces[i] or each.person == person.name]


def _is_namesake(data: GalleryData, person: Person) -> bool:
    own = np.asarray([name == person.name for name in data.identities], bool)
    return person.is_namesake(data.metadata.fingerprint, data.embeddings[own])


def _namesake(path: Path, kind: str, advice: str) -> Finding:
    return Finding(path, f"{kind}: somebody else of this name, by the face; not changed", advice=advice)


def _other_names(path: Path, kind: str, data: GalleryData, person: Person) -> Iterator[Finding]:
    """Find people of other names with the face of the person; they may be the person, or only resemble them."""
    matched = person.match(data.metadata.fingerprint, data.embeddings)
    names = {name for name, is_matched in zip(data.identities, matched, strict=True) if is_matched}
    for name in sorted(names - {person.name}):
        advice = f"if this is the same person, forget {name}, too"
        yield Finding(path, f"{kind}: {name} has a face like this person's; not changed", advice=advice)
