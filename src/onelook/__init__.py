"""Find every face in a photo and say who it is, in one forward pass.

import onelook
gallery = onelook.open_gallery("gallery")
for face in gallery.identify("photo.jpg"):
    print(face.name, face.similarity, face.box)
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onelook.errors import DataError, GalleryError, ModelError, OnelookError, PhotoError, SettingsError

if TYPE_CHECKING:
    from onelook.data.photo import read_photo
    from onelook.drawing import draw_faces
    from onelook.gallery.answers import IdentifiedFace
    from onelook.gallery.gallery import Enrolment, Gallery, create_gallery, open_gallery
    from onelook.model.look import Looker, load_looker

__all__ = [
    "DataError",
    "Enrolment",
    "Gallery",
    "GalleryError",
    "IdentifiedFace",
    "Looker",
    "ModelError",
    "OnelookError",
    "PhotoError",
    "SettingsError",
    "create_gallery",
    "draw_faces",
    "load_looker",
    "open_gallery",
    "read_photo",
]

# Threads that wait for each other spin; on a machine that does anything else they then starve whoever has the work.
# Short spins cost a few per cent alone and save two thirds of the time beside another process. Read as torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Imported when first used: torch takes seconds, and `onelook --help` or reading settings needs none of it.
_HOMES = {
    "Enrolment": "onelook.gallery.gallery",
    "Gallery": "onelook.gallery.gallery",
    "IdentifiedFace": "onelook.gallery.answers",
    "Looker": "onelook.model.look",
    "create_gallery": "onelook.gallery.gallery",
    "draw_faces": "onelook.drawing",
    "load_looker": "onelook.model.look",
    "open_gallery": "onelook.gallery.gallery",
    "read_photo": "onelook.data.photo",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
