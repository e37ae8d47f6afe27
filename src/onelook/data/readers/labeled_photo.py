"""Photos by the names that a label file states, which may be any text."""

from pathlib import Path

from onelook.errors import DataError, OnelookError
from onelook.files import resolve_inside
from onelook.untrusted import printable


def find_labeled_photo(root: Path, name: str, labels: Path) -> Path | None:
    """Return the path of a photo that a label file names.

    Args:
        root: the folder that the photo must be in.
        name: path relative to the folder.
        labels: the label file, for messages.

    Returns:
        None if there is no such file.

    Raises:
        DataError: the path leaves the folder, or no file can have this name.
    """
    try:
        path = resolve_inside(root, name)
        return path if path.is_file() else None
    except OnelookError as error:
        raise DataError(f"{labels}: {printable(name)} leaves the data folder {root}; correct the file") from error
    except (OSError, ValueError, RuntimeError) as error:  # an invalid name or a circular link
        raise DataError(f"{labels}: {printable(name)} is not the name of a photo; correct the file") from error
