"""Reading and writing photos: whatever a phone or a scanner makes becomes RGB `uint8`, and back."""

import warnings
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from onelook.errors import PhotoError
from onelook.files import replacing

MAX_PIXELS = 64 * 2**20
"""Larger photos are refused from their header, before any memory is taken for them."""

# Only decoders that run inside Pillow: the one for EPS, for instance, would start Ghostscript on a stranger's file.
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_EMPTY = "empty (0 bytes); copy it again from where it came"
_HEAD = 32  # bytes that tell a kind which cannot be read
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path) -> np.ndarray:
    """Read a photo upright.

    The EXIF orientation is applied, transparency is laid over white, 16-bit samples are scaled to 8 bits, and of
    several frames the first is taken.

    Returns:
        RGB (height, width, 3) uint8.

    Raises:
        PhotoError: the file is missing, empty, truncated, no photo, of a kind that cannot be read or too large.
    """
    return _decode(path, _head(path), str(path))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """A photo of which the bytes are in memory, as `read_image`; `name` stands in messages.

    Raises:
        PhotoError: as `read_image`.
    """
    if not data:
        raise PhotoError(f"{name}: {_EMPTY}")
    return _decode(BytesIO(data), data[:_HEAD], name)


def _decode(source: Path | BytesIO, head: bytes, name: str) -> np.ndarray:
    # Pillow warns of damage in EXIF and of sizes; the first does not concern the user, the second is checked here.
    with warnings.catch_warnings(action="ignore"), _open(source, head, name) as image:
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
        except Exception as error:  # Pillow's decoders raise whatever damaged data makes them trip over
            raise PhotoError(f"{name}: truncated or damaged; copy it again from where it came") from error


def encode_image(image: np.ndarray, suffix: str) -> bytes:
    """The bytes of an image file; same image, same bytes.

    Args:
        image: RGB (height, width, 3) uint8.
        suffix: ".png" (lossless) or ".jpg" (quality 95).
    """
    if suffix not in (".png", ".jpg"):
        raise ValueError(f"suffix {suffix!r}: photos are written as .png or .jpg")
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == ".jpg" else []
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes()


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an RGB uint8 image as the path's suffix says (see `encode_image`), in one step."""
    encoded = encode_image(image, path.suffix.lower())
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)


def _open(source: Path | BytesIO, head: bytes, name: str) -> Image.Image:
    """The photo with its header read and nothing more."""
    Image.init()  # registers what this build of Pillow has; Image.open fails on a name that is not registered
    formats = [each for each in _FORMATS if each in Image.OPEN]
    try:
        return Image.open(source, formats=formats)
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name}: more than {MAX_PIXELS // 2**20} megapixels; scale it down") from error
    except Exception as error:  # as for the decoders
        raise PhotoError(f"{name}: {_no_photo(head)}") from error


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise PhotoError(f"{path}: a folder, not a photo")
    try:
        if path.exists() and not path.is_file():
            raise PhotoError(f"{path}: not a file")
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: no such photo") from error
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror})") from error
    if not head:
        raise PhotoError(f"{path}: {_EMPTY}")
    return head


def _no_photo(head: bytes) -> str:
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "HEIC cannot be read; convert it to JPEG or PNG"
    return "not a photo, or a damaged one; use JPEG, PNG, WebP, TIFF, BMP, GIF or PGM"


def _orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF says nothing about the pixels, which are whole
        return None


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "F":
        raise PhotoError("floating-point samples; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit gray; Pillow's own conversion clips instead of scaling
        samples = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        gray = ((samples + 128) // 257).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return np.array(image.convert("RGB"))
