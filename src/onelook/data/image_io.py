"""Image files: reading any photo as upright RGB uint8, writing PNG and JPEG."""

import logging
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from onelook.data.jpeg_end import complete_jpeg
from onelook.data.photo_path import check_is_local, is_open_pipe, read_pipe
from onelook.errors import PhotoError
from onelook.files import atomic_file

logger = logging.getLogger(__name__)

MAX_PIXELS = 64 * 2**20
"""Most pixels of a photo; a larger one is refused by its header, before its pixels are decoded."""

# Decoders that run in this process: Pillow's EPS decoder, for instance, would run Ghostscript on an untrusted file.
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# The second picture of a JPEG of a phone (MPO) is a preview or a gain map.
_SINGLE_PHOTO_FORMATS = ("JPEG", "MPO")
# Each scan of a JPEG may pass over all pixels: 25 ms at 36 megapixels. Encoders write ten or so.
_MAX_SCANS = 200
_START_OF_SCAN = b"\xff\xda"
_OUT_OF_MEMORY = "too little memory to decode it; close other programs, or scale it down"
_EMPTY = "empty (0 bytes); copy it again from its source"
_HEADER_SIZE = 32  # bytes that identify a format
_EXIF_ORIENTATION = 0x0112
_UPRIGHT_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | Path) -> np.ndarray:
    """Read a photo as upright RGB.

    - The EXIF orientation is applied.
    - Transparent pixels are composited over white.
    - 16-bit samples are scaled to 8 bits.
    - The first of several frames is read, with a warning.
    - A JPEG file may lack its last marker, and an open pipe such as /dev/stdin is read to its end.

    Returns:
        RGB (height, width, 3) uint8.

    Raises:
        PhotoError: the file is missing, empty, truncated, not a photo, in an unsupported format or too large, or `path`
            is no path.
    """
    try:
        file = Path(path)
    except TypeError as error:
        raise PhotoError(f"{type(path).__name__}: not a path of text; pass a str or a Path") from error
    check_is_local(path)
    if is_open_pipe(file):
        return decode_image(read_pipe(file), str(file))
    return _decode(file, _read_header(file), str(file))


def is_photo(path: Path) -> bool:
    """Return whether a file begins like a photo that can be read; its pixels are not decoded."""
    try:
        with _open(path, b"", str(path)):
            return True
    except PhotoError:
        return False


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Decode the bytes of a photo as `read_image` does a file.

    Args:
        data: content of an image file.
        name: name of the photo in error messages.

    Raises:
        PhotoError: as `read_image`.
    """
    if not data:
        raise PhotoError(f"{name}: {_EMPTY}")
    return _decode(BytesIO(data), data[:_HEADER_SIZE], name)


def convert_image(image: Image.Image, name: str) -> np.ndarray:
    """Convert an image of Pillow to RGB (height, width, 3) uint8, as `read_image` does.

    Args:
        image: of any mode; its pixels are decoded now if they were not.
        name: name of the photo in error messages.

    Raises:
        PhotoError: the image is empty, truncated, too large or of a mode without an RGB equivalent.
    """
    check_size(*image.size, name)
    try:
        image.load()
        orientation = _orientation(image)
        upright = image if orientation is None else image.transpose(orientation)
    except MemoryError as error:
        raise PhotoError(f"{name}: {_OUT_OF_MEMORY}") from error
    except Exception as error:  # on damaged data Pillow's decoders raise exceptions of many types
        raise PhotoError(f"{name}: truncated or damaged; copy it again from its source") from error
    try:
        return _rgb(upright)
    except ValueError as error:
        raise PhotoError(f"{name}: mode {image.mode} has no RGB equivalent; convert it to RGB") from error
    except PhotoError as error:
        raise PhotoError(f"{name}: {error}") from error


def check_size(width: int, height: int, name: str) -> None:
    """Check the size of a photo in pixels.

    Raises:
        PhotoError: it has no pixels, or more than MAX_PIXELS.
    """
    if width * height == 0:
        raise PhotoError(f"{name}: {width}x{height} pixels; use a photo that is not empty")
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"{name}: {width}x{height} is {width * height / 2**20:.0f} megapixels, "
            f"more than {MAX_PIXELS // 2**20}; scale it down"
        )


def scale_16_bit(samples: np.ndarray) -> np.ndarray:
    """Scale samples of 0 to 65535 to uint8, rounded; others are clipped."""
    return ((np.clip(samples.astype(np.int64), 0, 65535) + 128) // 257).astype(np.uint8)


def _decode(source: Path | BytesIO, header: bytes, name: str) -> np.ndarray:
    # Pillow warns about damaged EXIF data, which is harmless, and about large images, which are refused below.
    with warnings.catch_warnings(action="ignore"), _open(source, header, name) as image:
        check_size(*image.size, name)
        if image.format in _SINGLE_PHOTO_FORMATS:
            _check_scans(_read_bytes(source), name)
        _warn_of_frames(image, name)
        try:
            return convert_image(image, name)
        except PhotoError:
            completed = complete_jpeg(_read_bytes(source)) if image.format in _SINGLE_PHOTO_FORMATS else None
            if completed is None:
                raise
            return convert_image(completed, name)


def _check_scans(data: bytes, name: str) -> None:
    scans = data.count(_START_OF_SCAN)
    if scans > _MAX_SCANS:
        raise PhotoError(f"{name}: a JPEG of {scans} scans, more than {_MAX_SCANS}; save it again as a usual JPEG")


def _read_bytes(source: Path | BytesIO) -> bytes:
    return source.getvalue() if isinstance(source, BytesIO) else source.read_bytes()


def encode_image(image: np.ndarray, suffix: str) -> bytes:
    """Encode an image as a file; equal images give equal bytes.

    Args:
        image: RGB (height, width, 3) uint8.
        suffix: ".png" (lossless) or ".jpg" (quality 95).
    """
    if suffix not in (".png", ".jpg"):
        raise ValueError(f"suffix {suffix!r}: images are written as .png or .jpg")
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == ".jpg" else []
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes()


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an RGB uint8 image atomically, in the format of the path's suffix.

    See `encode_image` for the formats.
    """
    encoded = encode_image(image, path.suffix.lower())
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded)


def _open(source: Path | BytesIO, header: bytes, name: str) -> Image.Image:
    """Open a photo and read its header, not its pixels."""
    is_heif = header[4:8] == b"ftyp" and header[8:12] in _HEIF_BRANDS
    if is_heif and not _register_heif():
        raise PhotoError(f"{name}: HEIC needs pillow-heif; `pip install pillow-heif`, or convert the photo to JPEG")
    Image.init()  # registers the formats of this build; Image.open raises KeyError for one that is not registered
    formats = [kind for kind in _FORMATS if kind in Image.OPEN]
    try:
        return Image.open(source, formats=formats)
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name}: more than {MAX_PIXELS // 2**20} megapixels; scale it down") from error
    except MemoryError as error:
        raise PhotoError(f"{name}: {_OUT_OF_MEMORY}") from error
    except Exception as error:  # as for the decoders
        supported = "use JPEG, PNG, HEIC, AVIF, WebP, TIFF, BMP, GIF or PGM"
        raise PhotoError(f"{name}: not a photo, or a damaged one; {supported}") from error


@cache
def _register_heif() -> bool:
    """Add HEIF to Pillow's formats; return False where the package for it is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _warn_of_frames(image: Image.Image, name: str) -> None:
    if image.format in _SINGLE_PHOTO_FORMATS:
        return
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception:  # damaged behind the first frame, which may be whole
        return
    if frames > 1:
        logger.warning("%s: has %d frames; only the first is used", name, frames)


def _read_header(path: Path) -> bytes:
    if path.is_dir():
        raise PhotoError(f"{path}: a folder, not a photo")
    try:
        if path.exists() and not path.is_file():
            raise PhotoError(f"{path}: not a file")
        with path.open("rb") as stream:
            header = stream.read(_HEADER_SIZE)
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: no such photo") from error
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # a path with a null character
        raise PhotoError(f"{str(path)!a}: no such photo") from error
    if not header:
        raise PhotoError(f"{path}: {_EMPTY}")
    return header


def _orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT_TRANSPOSE.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF data; the pixels can still be read
        return None


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "F":
        raise PhotoError("floating-point samples; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit gray: Pillow's own conversion would clip the samples
        return np.repeat(scale_16_bit(np.asarray(image))[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return np.array(image.convert("RGB"))
