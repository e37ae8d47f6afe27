"""Photos of the embedded default data, as files of a camera would be: people side by side."""

import numpy as np

from onelook.data.annotate import upscale_image
from onelook.data.image_io import encode_image
from onelook.data.readers.orl import read_orl


def portrait(person: int, number: int) -> np.ndarray:
    """An ORL photo enlarged as `prepare` does it, with a margin, RGB uint8 (336, 296, 3)."""
    portraits = read_orl().images
    return upscale_image(
        next(p for p in portraits if p.path.parts[-2:] == (f"s{person}", f"{number}.pgm")).read(), 2.0
    ).image


def group(*people: tuple[int, int]) -> bytes:
    """A PNG of these people side by side, each a person and a number."""
    return encode_image(np.concatenate([portrait(*each) for each in people], axis=1), ".png")
