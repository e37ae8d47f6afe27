"""Find every face in a photo and say who it is, in one forward pass.

import onelook
print(onelook.verify("passport.jpg", "selfie.jpg").label)
gallery = onelook.open_gallery("gallery")
for face in gallery.identify("photo.jpg"):
    print(face.name, face.similarity, face.box)
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onelook.errors import DataError, GalleryError, ModelError, OnelookError, PhotoError, SettingsError

# Libraries read these when they are imported: else they send usage data to their makers, and write an identifier below
# the home folder.
os.environ.update(
    ORT_DISABLE_TELEMETRY="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    DVC_NO_ANALYTICS="true",
    RAY_USAGE_STATS_ENABLED="0",
)

if TYPE_CHECKING:
    from onelook.api import detect, embed, find, verify
    from onelook.data.image_input import as_image
    from onelook.data.image_io import read_image
    from onelook.faces import Face, align_face
    from onelook.gallery.drawing import draw_faces
    from onelook.gallery.gallery import Enrollment, Gallery, create_gallery, open_gallery
    from onelook.gallery.identification import IdentifiedFace
    from onelook.gallery.verification import Verification
    from onelook.inference.loading import load_torch_predictor
    from onelook.inference.torch_predictor import TorchPredictor
    from onelook.media.person_search import FoundFace

__all__ = [
    "DataError",
    "Enrollment",
    "Face",
    "FoundFace",
    "Gallery",
    "GalleryError",
    "IdentifiedFace",
    "ModelError",
    "OnelookError",
    "PhotoError",
    "SettingsError",
    "TorchPredictor",
    "Verification",
    "align_face",
    "as_image",
    "create_gallery",
    "detect",
    "draw_faces",
    "embed",
    "find",
    "load_torch_predictor",
    "open_gallery",
    "read_image",
    "verify",
]

# Imported when first used: torch takes seconds, and `onelook --help` or reading settings needs none of it.
_HOMES = {
    "Enrollment": "onelook.gallery.gallery",
    "Face": "onelook.faces",
    "FoundFace": "onelook.media.person_search",
    "Gallery": "onelook.gallery.gallery",
    "IdentifiedFace": "onelook.gallery.identification",
    "TorchPredictor": "onelook.inference.torch_predictor",
    "Verification": "onelook.gallery.verification",
    "align_face": "onelook.faces",
    "as_image": "onelook.data.image_input",
    "create_gallery": "onelook.gallery.gallery",
    "detect": "onelook.api",
    "draw_faces": "onelook.gallery.drawing",
    "embed": "onelook.api",
    "find": "onelook.api",
    "load_torch_predictor": "onelook.inference.loading",
    "open_gallery": "onelook.gallery.gallery",
    "read_image": "onelook.data.image_io",
    "verify": "onelook.api",
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
