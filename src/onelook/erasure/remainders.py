"""Known copies of a gallery that hold a person after `forget`, and remains of killed commands."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from onelook.erasure.finding import Finding
from onelook.errors import OnelookError
from onelook.experiment.gallery_copies import REGISTERED_MODEL, find_gallery_copies
from onelook.gallery.backend_factory import open_backend
from onelook.gallery.backup import read_backup
from onelook.gallery.copies import find_kept, read_copies
from onelook.gallery.location import Location
from onelook.temporaries import find_temporaries, is_abandoned
from onelook.workspace import project_root

_TEMPORARY = re.compile(r"\..+\.new-[0-9a-f]{16}")


def find_remainders(location: Location, name: str) -> Iterator[Finding]:
    """Find the known copies of a gallery that hold a person, without a search of the disk.

    These are registered versions, noted backups and exports, and what `restore` kept.

    Args:
        location: the gallery.
        name: normalized name.
    """
    for copy in find_gallery_copies(project_root(Path.cwd())):
        if not _holds(copy.gallery, name):
            continue
        if copy.version is not None:
            advice = f"`onelook unregister {copy.version}` removes this version for good"
            yield Finding(copy.gallery, f"registered as models:/{REGISTERED_MODEL}/{copy.version}", advice=advice)
        elif copy.is_orphan:
            advice = "`onelook unregister --deleted` removes the files of deleted versions"
            yield Finding(copy.gallery, "files of a version that was deleted in MLflow", advice=advice)
        else:
            yield Finding(copy.gallery, "gallery of a run in MLflow", advice=_everywhere(name, copy.gallery))
    for kept in find_kept(location):
        if _holds(kept, name):
            yield Finding(kept, "gallery that `restore` kept", advice="remove it, if you need it no more")
    for kind, path in read_copies(location):
        # An export may be large, so it is named unread.
        if os.path.exists(path) and (kind == "export" or _is_in_backup(path, name)):  # noqa: PTH110
            yield Finding(path, kind, advice=_everywhere(name, path.parent))


def find_leftovers(location: Location) -> list[Path]:
    """Find what killed commands left of a gallery and of its backups and exports."""
    if not isinstance(location, Path):
        return []
    inside = [path for path in sorted(location.iterdir()) if _TEMPORARY.fullmatch(path.name) and is_abandoned(path)]
    copies = [path for copy in read_copies(location) for path in find_temporaries(copy.path)]
    return inside + find_temporaries(location.resolve()) + copies


def _holds(gallery: Path, name: str) -> bool:
    """Return whether a gallery holds a person; one that cannot be read may."""
    try:
        return name in open_backend(gallery).people()
    except OnelookError:
        return True


def _is_in_backup(path: Path, name: str) -> bool:
    try:
        return name in read_backup(path).identities
    except OnelookError:
        return True


def _everywhere(name: str, folder: Path) -> str:
    return f"`onelook forget {name!r} --everywhere {folder}` removes the person there"
