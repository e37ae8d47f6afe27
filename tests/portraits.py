"""Photos of the embedded default data, as files of a camera would be: people side by side."""

import numpy as np

from onelook.data.annotate import enlarge
from onelook.data.orl import read_orl
from onelook.data.photo import encode_photo


def portrait(person: int, number: int) -> np.ndarray:
    """An ORL photo enlarged as `prepare` does it, with a margin, RGB uint8 (336, 296, 3)."""
    portraits = read_orl().portraits
    return enlarge(next(p for p in portraits if p.path.parts[-2:] == (f"s{person}", f"{number}.pgm")).read(), 2.0).image


def group(*people: tuple[int, int]) -> bytes:
    """A PNG of these people side by side, each a person and a number."""
    return encode_photo(np.concatenate([portrait(*each) for each in people], axis=1), ".png")
