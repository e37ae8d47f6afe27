"""Background photographs without faces, from the scikit-image wheel.

The files are part of the installed wheel; scikit-image itself is never imported. The training split and the held-out
splits have different photographs. The wheel's portraits and its coins, which show heads, are excluded.
"""

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Split
from onelook.errors import DataError

# File name -> license, according to scikit-image's documentation of each photograph.
_TRAIN = {
    "brick.png": "CC0",
    "chelsea.png": "CC0, Stefan van der Walt",
    "grass.png": "CC0",
    "ihc.png": "no known copyright restrictions",
    "moon.png": "see scikit-image's license",
    "motorcycle_left.png": "Middlebury 2014 stereo benchmark, cite Scharstein et al. 2014",
    "page.png": "see scikit-image's license",
    "retina.jpg": "CC0",
}
_HELD_OUT = {
    "clock_motion.png": "public domain, Stefan van der Walt",
    "coffee.png": "CC0, Rachel Michetti",
    "gravel.png": "CC0",
    "hubble_deep_field.jpg": "public domain, NASA",
    "rocket.jpg": "public domain, SpaceX",
    "text.png": "public domain",
}


@dataclass(frozen=True, eq=False)
class Background:
    """Photograph without a face.

    Attributes:
        image: RGB (height, width, 3) uint8.
        source, license: origin and terms, for the manifest.
    """

    image: np.ndarray
    source: str
    license: str


def read_backgrounds(split: Split) -> list[Background]:
    """Read the photographs of a split; validation and test have the same ones.

    Raises:
        DataError: the scikit-image wheel or one of its photographs is missing.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the scikit-image wheel, which contains the backgrounds, is not installed; `make repro` installs it"
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    version = importlib.metadata.version("scikit-image")
    licenses = _TRAIN if split == "train" else _HELD_OUT
    for name in licenses:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: missing; reinstall the scikit-image wheel (`make repro` does)")
    return [
        Background(read_image(folder / name), f"scikit-image {version} data, {name}", terms)
        for name, terms in licenses.items()
    ]


def random_view(image: np.ndarray, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Crop, flip and recolor an image at random.

    Returns:
        RGB (height, width, 3) uint8.
    """
    rows, columns = image.shape[:2]
    max_zoom = min(columns / width, rows / height)
    zoom = max_zoom * rng.uniform(0.4, 1.0)
    crop_w, crop_h = max(1, int(width * zoom)), max(1, int(height * zoom))
    left, top = rng.integers(columns - crop_w + 1), rng.integers(rows - crop_h + 1)
    crop = image[top : top + crop_h, left : left + crop_w]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    interpolation = cv2.INTER_AREA if zoom > 1 else cv2.INTER_CUBIC
    view = cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=interpolation)
    return _recolor(view, rng)


def _recolor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply a random tone curve to each channel."""
    levels = np.linspace(0, 1, 256)[:, None]
    gains = rng.uniform(0.65, 1.1) * rng.uniform(0.88, 1.12, 3)
    curves = 255 * levels ** rng.uniform(0.75, 1.4) * gains
    table = np.clip(curves, 0, 255).round().astype(np.uint8)
    return cv2.LUT(image, table[None])
