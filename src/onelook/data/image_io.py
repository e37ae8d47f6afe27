"""Image files: reading any photo as upright RGB uint8, writing PNG and JPEG."""

import warnings
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from onelook.errors import PhotoError
from onelook.files import atomic_file

MAX_PIXELS = 64 * 2**20
"""Most pixels of a photo; a larger one is refused by its header, before its pixels are decoded."""

# Decoders inside Pillow only: its EPS decoder, for instance, would run Ghostscript on an untrusted file.
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
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


def read_image(path: Path) -> np.ndarray:
    """Read a photo as upright RGB.

    - The EXIF orientation is applied.
    - Transparent pixels are composited over white.
    - 16-bit samples are scaled to 8 bits.
    - The first of several frames is read.

    Returns:
        RGB (height, width, 3) uint8.

    Raises:
        PhotoError: the file is missing, empty, truncated, not a photo, in an unsupported format or too large.
    """
    return _decode(path, _read_header(path), str(path))


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


def _decode(source: Path | BytesIO, header: bytes, name: str) -> np.ndarray:
    # Pillow warns about damaged EXIF data, which is harmless, and about large images, which are refused below.
    with warnings.catch_warnings(action="ignore"), _open(source, header, name) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise PhotoError(
                f"{name}: {width}x{height} is {width * height / 2**20:.0f} megapixels, "
                f"more than {MAX_PIXELS // 2**20}; scale it down"
            )
        try:
            image.load()
            orientation = _orientation(image)
            return _rgb(image if orientation is None else image.transpose(orientation))
        except PhotoError as error:
            raise PhotoError(f"{name}: {error}") from error
        except Exception as error:  # on damaged data Pillow's decoders raise exceptions of many types
            raise PhotoError(f"{name}: truncated or damaged; copy it again from its source") from error


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
    Image.init()  # registers the formats of this build; Image.open raises KeyError for one that is not registered
    formats = [kind for kind in _FORMATS if kind in Image.OPEN]
    try:
        return Image.open(source, formats=formats)
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name}: more than {MAX_PIXELS // 2**20} megapixels; scale it down") from error
    except Exception as error:  # as for the decoders
        raise PhotoError(f"{name}: {_unsupported_reason(header)}") from error


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
    if not header:
        raise PhotoError(f"{path}: {_EMPTY}")
    return header


def _unsupported_reason(header: bytes) -> str:
    if header[4:8] == b"ftyp" and header[8:12] in _HEIF_BRANDS:
        return "HEIC cannot be read; convert it to JPEG or PNG"
    return "not a photo, or a damaged one; use JPEG, PNG, WebP, TIFF, BMP, GIF or PGM"


def _orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT_TRANSPOSE.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF data; the pixels can still be read
        return None


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "F":
        raise PhotoError("floating-point samples; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit gray: Pillow's own conversion would clip the samples
        samples = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        gray = ((samples + 128) // 257).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return np.array(image.convert("RGB"))
