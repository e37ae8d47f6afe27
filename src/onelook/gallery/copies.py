"""Record of the backups and exports of a gallery, in which `forget` finds a person again.

The record lies beside the gallery folder and holds paths alone. A gallery in Milvus has none.
"""

import glob
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from onelook.errors import OnelookError
from onelook.files import NO_FOLLOW, read_json_lines
from onelook.gallery.location import Location

Kind = Literal["backup", "export"]


class Copy(NamedTuple):
    """A backup or an export, or one that a kill prevented.

    Attributes:
        kind: which of the two.
        path: file or folder, absolute.
    """

    kind: Kind
    path: Path


def record_copy(location: Location, kind: Kind, path: Path) -> None:
    """Note that a copy of the gallery is about to be written; a folder that cannot be written gets no note."""
    if not isinstance(location, Path):
        return
    line = json.dumps({"kind": kind, "path": os.fsdecode(path.absolute())}) + "\n"
    with suppress(OSError):
        descriptor = os.open(_record_path(location), os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_FOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(line)


def read_copies(location: Location) -> list[Copy]:
    """Read the noted copies, those too that were moved or removed since; none where the record is damaged."""
    if not isinstance(location, Path):
        return []
    try:
        lines = read_json_lines(_record_path(location))
        return list(dict.fromkeys(Copy(line["kind"], Path(line["path"])) for line in lines))
    except (OSError, OnelookError, ValueError, KeyError, TypeError):
        return []


def find_kept(location: Location) -> list[Path]:
    """Find the galleries that `restore` kept beside a gallery."""
    if not isinstance(location, Path):
        return []
    folder = location.resolve()
    return sorted(folder.parent.glob(f"{glob.escape(folder.name)}-before-restore-*"))


def _record_path(location: Path) -> Path:
    folder = location.resolve()
    return folder.parent / f".{folder.name}.copies.jsonl"
