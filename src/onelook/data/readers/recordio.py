"""Reader of InsightFace's training sets.

`train.rec` in MXNet's RecordIO format, indexed by `train.idx`.

Layout, little-endian:

- A part is the magic number, a word (flag in the upper 3 bits, length in the others), the bytes, and padding to a
  multiple of 4.
- A record is one part (flag 0) or several (flag 1, any number of 2, then 3). MXNet's writer splits the data at each
  occurrence of the magic number; the reader inserts it again between the parts.
- A record holds a label count, a label and two ids (4, 4, 8 and 8 bytes), then `count` float32 labels, then an encoded
  image. With a count of 0 the single label holds.
- `train.idx` has one line per record: key, tab, byte offset.

InsightFace's sets add records without an image. The labels of record 0 are the first key after the images and the
first key after the identity records. Record 0 may be the first or the last of the file. The labels of an identity
record are the first key of its images and the first key after them. Keys above 2**24 are rounded, as labels are
float32.
"""

import io
import os
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from onelook.data.image_io import MAX_PIXELS
from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError, PhotoError

MAGIC = 0xCED7230A
FILES = "train.rec", "train.idx"
LICENSE = "as its authors state; InsightFace's sets are for non-commercial research only"

_MAGIC_BYTES = struct.pack("<I", MAGIC)
_PART = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_LENGTH_BITS = 29
_ADVICE = "download it again"
# End markers of complete files. OpenCV fills the rest of a truncated image with gray without an error.
_END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}


@dataclass(frozen=True, eq=False)
class Record:
    """Record of a RecordIO file.

    Attributes:
        location: file and byte offset, for messages.
        labels: (n,) float32, n >= 1; the first label of an image is its identity.
        encoded: the encoded image; empty in record 0 and in identity records.
    """

    location: str
    labels: np.ndarray
    encoded: bytes

    @property
    def identity(self) -> int:
        """Return the identity's number, from 0.

        Raises:
            DataError: the label is negative or not an integer.
        """
        label = float(self.labels[0])
        if label < 0 or not label.is_integer():
            raise DataError(f"{self.location}: label {label:g} is not the number of an identity; {_ADVICE}")
        return int(label)

    def image(self) -> np.ndarray:
        """Decode the image, RGB (height, width, 3) uint8.

        Raises:
            PhotoError: the image cannot be decoded.
        """
        return decode_embedded_image(self.encoded, self.location)


def decode_embedded_image(encoded: bytes, location: str) -> np.ndarray:
    """Decode a JPEG or PNG image that is embedded in another file.

    Args:
        encoded: the image's bytes.
        location: file and offset, for messages.

    Returns:
        RGB (height, width, 3) uint8, upright.

    Raises:
        PhotoError: the bytes are not an image, or the image is truncated, damaged or too large.
    """
    try:
        # The header is checked before the decoder allocates memory for the pixels.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(encoded), formats=tuple(_END_MARKERS)) as header,
        ):
            is_too_large = header.width * header.height > MAX_PIXELS
            end_marker = _END_MARKERS[header.format or ""]
    except Image.DecompressionBombError:
        is_too_large, end_marker = True, b""
    except Exception as error:  # Pillow raises exceptions of many types for damaged data
        raise PhotoError(f"{location}: no JPEG or PNG image; {_ADVICE}") from error
    if is_too_large:
        raise PhotoError(f"{location}: an image of more than {MAX_PIXELS // 2**20} megapixels; scale it down")
    if end_marker not in encoded:
        raise PhotoError(f"{location}: a truncated image; {_ADVICE}")
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise PhotoError(f"{location}: a damaged image; {_ADVICE}")
    return image


class RecordIOReader:
    """Random access to the records of an indexed RecordIO file.

    Threads and forked processes may share an open reader. The file is closed with the last reference to the reader.

    Attributes:
        path: the file.
        keys: (n,) int64, keys of the images, ascending.
    """

    _file = -1

    def __init__(self, path: Path, index: Path) -> None:
        """Open a record file with its index.

        Raises:
            DataError: a file is missing, empty or damaged, or the two are not of the same set.
        """
        self.path = path
        self._keys, self._offsets = _read_index(index)
        try:
            self._file = os.open(path, os.O_RDONLY)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            raise DataError(f"{path}: cannot be opened ({error.strerror}); give the path of a .rec file") from error
        if self._size == 0:
            raise DataError(f"{path}: empty (0 bytes); {_ADVICE}")
        self._check_end(index)
        self.keys = self._image_keys()

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def read(self, key: int) -> Record:
        """Read the record of a key.

        Raises:
            DataError: there is no such key, or the record is damaged.
        """
        row = int(np.searchsorted(self._keys, key))
        if row == len(self._keys) or self._keys[row] != key:
            raise DataError(f"{self.path}: record {key} is not in the index")
        return self._record(int(self._offsets[row]))[0]

    def _image_keys(self) -> np.ndarray:
        """Return the keys of the records with an image, according to record 0."""
        if self._keys[0] != 0:
            return self._keys
        header = self.read(0)
        if header.encoded:
            return self._keys
        identity_keys = _key_range(header)
        if np.float32(len(self._keys)) != np.float32(identity_keys.stop):
            raise DataError(
                f"{header.location}: {identity_keys.stop} records, {len(self._keys)} in the index; "
                f"{_ADVICE}, both files"
            )
        return self._keys[1 : int(np.searchsorted(self._keys, identity_keys.start))]

    def _check_end(self, index: Path) -> None:
        """Raise DataError unless the index's last record is the last of the file."""
        last = int(self._offsets.max())
        if last >= self._size or self._record(last)[1] != self._size:
            raise DataError(f"{index}: not the index of {self.path}, or one of the two is cut short; {_ADVICE}, both")

    def _record(self, offset: int) -> tuple[Record, int]:
        """Return the record at an offset, and the offset of the next."""
        content, end = self._content(offset)
        location = f"{self.path}, byte {offset}"
        if len(content) < _HEADER.size:
            raise DataError(f"{location}: a record of {len(content)} bytes, too short for its header; {_ADVICE}")
        count, label, _, _ = _HEADER.unpack_from(content)
        start = _HEADER.size + 4 * count
        if start > len(content):
            raise DataError(f"{location}: {count} labels in a record of {len(content)} bytes; {_ADVICE}")
        labels = np.frombuffer(content, "<f4", count, _HEADER.size) if count else np.array([label], np.float32)
        return Record(location, labels, content[start:]), end

    def _content(self, offset: int) -> tuple[bytes, int]:
        """Return a record's bytes, its parts joined, and the offset of the next."""
        parts: list[bytes] = []
        while True:
            magic, word = _PART.unpack(self._bytes(offset, _PART.size))
            flag, length = word >> _LENGTH_BITS, word & (1 << _LENGTH_BITS) - 1
            if magic != MAGIC or flag not in ((_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)):
                raise DataError(f"{self.path}, byte {offset}: no record, although one was expected; {_ADVICE}")
            offset += _PART.size
            padded = (length + 3) // 4 * 4
            parts.append(self._bytes(offset, padded)[:length])
            offset += padded
            if flag in (_WHOLE, _LAST):
                return _MAGIC_BYTES.join(parts), offset

    def _bytes(self, offset: int, count: int) -> bytes:
        # The length is checked first, as a damaged one would allocate up to 512 MB.
        if offset + count <= self._size:
            try:
                data = os.pread(self._file, count, offset)
            except OSError as error:
                raise DataError(f"{self.path}, byte {offset}: cannot be read ({error.strerror})") from error
            if len(data) == count:
                return data
        raise DataError(f"{self.path}, byte {offset}: the file ends inside a record; {_ADVICE}")


@dataclass(frozen=True, kw_only=True)
class RecordIOImage(IdentityImage):
    """Image in a RecordIO file.

    Attributes:
        reader: the file's reader; all images of a file share it, so the file is opened once.
        key: the image's key.
    """

    reader: RecordIOReader
    key: int

    @property
    def location(self) -> str:
        """Return the file and the key, for messages."""
        return f"{self.path}, record {self.key}"

    def _decode(self) -> np.ndarray:
        return self.reader.read(self.key).image()


def read_recordio(folder: Path) -> IdentityDataset:
    """Read a training set in the order of keys; identities are "record-0" and on.

    All records are read once, one at a time, for their labels. Images are decoded on access.

    Raises:
        DataError: train.rec or train.idx is missing, damaged or of another set, or holds no image.
    """
    file, index = (folder / name for name in FILES)
    for path in (file, index):
        if not path.is_file():
            raise DataError(f"{path}: no such file; prepare.recordio.path must be the folder of {' and '.join(FILES)}")
    reader = RecordIOReader(file, index)
    images = []
    for key in reader.keys.tolist():
        identity = f"record-{reader.read(key).identity}"
        source = f"{file.name}, record {key}"
        images.append(RecordIOImage(file, identity, source, LICENSE, reader=reader, key=key))
    if not images:
        raise DataError(f"{file}: no image in it; {_ADVICE}")
    return IdentityDataset(tuple(images))


def _key_range(record: Record) -> range:
    """Return the keys that a record without an image spans by its two labels."""
    labels = record.labels.tolist()
    if record.encoded or len(labels) != 2 or not (float(labels[0]).is_integer() and float(labels[1]).is_integer()):
        raise DataError(f"{record.location}: neither an image nor two keys; {_ADVICE}")
    start, stop = int(labels[0]), int(labels[1])
    if not 1 <= start <= stop:
        raise DataError(f"{record.location}: keys {start} to {stop} are not a range; {_ADVICE}")
    return range(start, stop)


def _read_index(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys, ascending, and the offsets, (n,) int64 each."""
    try:
        # NumPy only warns about an empty file and about fractions.
        with path.open(encoding="ascii") as stream, warnings.catch_warnings(action="error"):
            table = np.loadtxt(stream, np.int64, delimiter="\t", comments=None, ndmin=2)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); give the path of an .idx file") from error
    except (ValueError, OverflowError, Warning) as error:
        raise DataError(f"{path}: not lines of a key, a tab and an offset; {_ADVICE}") from error
    if table.shape[1] != 2 or len(table) == 0:
        raise DataError(f"{path}: not lines of a key, a tab and an offset; {_ADVICE}")
    keys, offsets = table[np.argsort(table[:, 0], kind="stable")].T.copy()
    if keys[0] < 0 or (np.diff(keys) == 0).any() or offsets.min() < 0:
        raise DataError(f"{path}: a key occurs twice, or a key or offset is negative; {_ADVICE}")
    return keys, offsets
