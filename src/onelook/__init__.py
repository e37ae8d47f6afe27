"""Find every face in a photo and say who it is, in one forward pass.

import onelook
gallery = onelook.open_gallery("gallery")
for face in gallery.identify("photo.jpg"):
    print(face.name, face.similarity, face.box)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from onelook.errors import DataError, GalleryError, ModelError, OnelookError, PhotoError, SettingsError

if TYPE_CHECKING:
    from onelook.data.image_io import read_image
    from onelook.drawing import draw_faces
    from onelook.gallery.gallery import Enrollment, Gallery, create_gallery, open_gallery
    from onelook.gallery.identification import IdentifiedFace
    from onelook.inference.loading import load_torch_predictor
    from onelook.inference.torch_predictor import TorchPredictor

__all__ = [
    "DataError",
    "Enrollment",
    "Gallery",
    "GalleryError",
    "IdentifiedFace",
    "ModelError",
    "OnelookError",
    "PhotoError",
    "SettingsError",
    "TorchPredictor",
    "create_gallery",
    "draw_faces",
    "load_torch_predictor",
    "open_gallery",
    "read_image",
]

# Imported when first used: torch takes seconds, and `onelook --help` or reading settings needs none of it.
_HOMES = {
    "Enrollment": "onelook.gallery.gallery",
    "Gallery": "onelook.gallery.gallery",
    "IdentifiedFace": "onelook.gallery.identification",
    "TorchPredictor": "onelook.inference.torch_predictor",
    "create_gallery": "onelook.gallery.gallery",
    "draw_faces": "onelook.drawing",
    "load_torch_predictor": "onelook.inference.loading",
    "open_gallery": "onelook.gallery.gallery",
    "read_image": "onelook.data.image_io",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _installed_version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def _installed_version() -> str:
    """Return the version that was installed; 0+unknown in a checkout without an installation."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("onelook")
    except PackageNotFoundError:
        return "0+unknown"
