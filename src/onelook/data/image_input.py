"""Conversion of what a caller has of a photo, whatever its type, to upright RGB uint8."""

from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from onelook.data.image_io import check_size, convert_image, decode_image, read_image, scale_16_bit
from onelook.errors import PhotoError

ImageSource = str | PathLike[str] | bytes | bytearray | memoryview | Image.Image | np.ndarray
"""A photo: path, content of an image file, image of Pillow, or array; see `as_image`."""
ColorOrder = Literal["rgb", "bgr"]

_SOURCE_TYPES = (str, PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray)
_CHANNEL_COUNTS = (1, 2, 3, 4)


def as_image(source: ImageSource, *, color: ColorOrder = "rgb") -> np.ndarray:
    """Convert a photo to upright RGB.

    | source | conversion |
    |---|---|
    | path (str or Path), bytes of an image file | decoded, see `read_image` |
    | image of Pillow | turned upright; transparency over white; 16-bit gray scaled to 8 bits |
    | array (H, W), (H, W, 1) | gray |
    | array (H, W, 2), (H, W, 4) | gray or color with alpha, over white |
    | array (H, W, 3) | color |

    Arrays are uint8, uint16 (scaled to 8 bits) or bool (black and white).

    Args:
        source: the photo.
        color: order of the channels of an array: "rgb", or "bgr" as OpenCV reads files.

    Returns:
        RGB (height, width, 3) uint8, contiguous; an array that is this already is returned itself.

    Raises:
        PhotoError: the photo cannot be read or converted, is empty or too large, or is of another type.
    """
    if color not in ("rgb", "bgr"):
        raise PhotoError(f"color {color!r}: unknown; name 'rgb' or 'bgr'")
    if isinstance(source, np.ndarray):
        return _convert_array(source, color)
    if isinstance(source, Image.Image):
        return convert_image(source, source_name(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return decode_image(bytes(source), source_name(source))
    if is_image_source(source):
        return read_image(_as_path(source))
    raise PhotoError(
        f"{type(source).__name__}: not a photo; pass a path, the bytes of a file, an image of Pillow or a NumPy array"
    )


def is_image_source(value: object) -> bool:
    """Return whether a value is of one of the types of a photo."""
    return isinstance(value, _SOURCE_TYPES)


def source_name(source: ImageSource) -> str:
    """Return the path of a photo, or a word for one that has none."""
    if isinstance(source, str | PathLike):
        return str(_as_path(source))
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "")) or "image of Pillow"
    return "array" if isinstance(source, np.ndarray) else "bytes"


def _as_path(source: str | PathLike[str]) -> Path:
    try:
        return Path(source)
    except TypeError as error:  # a PathLike of bytes
        raise PhotoError(f"{source!r}: not a path of text; pass a str or a Path") from error


def _convert_array(array: np.ndarray, color: ColorOrder) -> np.ndarray:
    _check_shape(array.shape)
    samples = _to_uint8(np.asarray(array))
    if samples.ndim == 2:
        samples = samples[:, :, None]
    channels = samples.shape[2]
    if color == "bgr" and channels >= 3:
        samples = samples[:, :, [2, 1, 0, 3][:channels]]
    if channels == 3:
        return np.ascontiguousarray(samples)
    if channels == 1:
        return np.repeat(samples, 3, axis=2)
    return convert_image(Image.fromarray(np.ascontiguousarray(samples)), "array")


def _check_shape(shape: tuple[int, ...]) -> None:
    if 0 in shape or not shape:
        raise PhotoError(f"array of shape {shape}: empty; pass an image (height, width, 3)")
    if len(shape) == 4:
        raise PhotoError(f"array of shape {shape}: several images; pass them one by one")
    if len(shape) == 3 and shape[2] not in _CHANNEL_COUNTS and shape[0] in _CHANNEL_COUNTS:
        raise PhotoError(f"array of shape {shape}: channels come last; pass array.transpose(1, 2, 0)")
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in _CHANNEL_COUNTS):
        raise PhotoError(f"array of shape {shape}: not an image; pass (height, width) or (height, width, 3)")
    check_size(shape[1], shape[0], "array")


def _to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if (array.dtype.kind, array.dtype.itemsize) == ("u", 2):  # in either byte order
        return scale_16_bit(array)
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        raise PhotoError(
            f"array of {array.dtype}: not uint8; scale it to 0..255 and round it: (255 * array).round().astype('uint8')"
        )
    raise PhotoError(f"array of {array.dtype}: not uint8; convert values of 0 to 255 by array.astype('uint8')")
