"""Check a gallery folder: every row and thumbnail, the structure of the database, remains and permissions."""

from pathlib import Path

from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.database import DATABASE_FILE, open_reader
from onelook.gallery.folder import find_remains, is_earlier_format

_OTHERS = 0o077
_PROBLEMS = 3  # of the structure, that are listed


def check_gallery(folder: Path) -> list[str]:
    """Check a gallery folder and return its problems, one line each.

    Raises:
        GalleryError: it is missing or damaged.
    """
    managed = storage.read(folder).metadata.managed
    if is_earlier_format(folder):
        return [f"{folder}: has an earlier format; `onelook upgrade` converts it"]
    path = folder / DATABASE_FILE
    with open_reader(folder) as connection:
        found = [line for (line,) in connection.execute(f"PRAGMA integrity_check({_PROBLEMS})")]
    if found != ["ok"]:
        raise GalleryError(f"{path}: damaged ({'; '.join(found)}); write its content anew: `onelook backup`, `restore`")
    problems = [f"{path}: left by an interrupted change; the next change removes it" for path in find_remains(folder)]
    problems += [
        f"{abandoned}: left by an interrupted change; the next `onelook restore` removes it"
        for abandoned in folder.resolve().parent.glob(f".{folder.resolve().name}.new-*")
    ]
    if not problems and storage.has_remains(folder):
        problems.append(f"{path}: may still hold what was removed; the next change removes that")
    if not managed:
        private = [path for path in (folder, *folder.iterdir()) if path.stat().st_mode & _OTHERS]
        problems += [f"{path}: other users may read it; `chmod go= {path}` prevents that" for path in private]
    return problems
