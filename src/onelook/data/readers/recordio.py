"""The reader of InsightFace's training sets: photos packed into `train.rec`, with their places in `train.idx`.

The layout is MXNet's RecordIO, little-endian. A part is the magic number, a word with a flag in its upper 3 bits and
the length in the others, the bytes, and padding to a multiple of 4. A record is one part (flag 0), or several (1, then
any number of 2, then 3) that were cut where the magic number stood in the data; it goes back in between them. A record
holds a count, a label, two numbers (4, 4, 8 and 8 bytes), as many float32 labels as the count says (none: the one label
holds), and then an encoded photo. `train.idx` has a line for each record: its key, a tab and its offset.

InsightFace's sets add records without a photo. The labels of record 0, which may stand first or last in the file, are
the first key after the photos, and the first after those of people; each person's record has the first key of the
person's photos and the first after them. All labels are float32: keys above 2**24 are rounded.
"""

import io
import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from PIL import Image

from onelook.data.image_io import MAX_PIXELS
from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError, PhotoError

MAGIC = 0xCED7230A
FILES = "train.rec", "train.idx"
LICENSE = "as its makers say; InsightFace's sets are for non-commercial research only"

_MAGIC_BYTES = struct.pack("<I", MAGIC)
_PART = struct.Struct("<II")
_HEAD = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_LENGTH_BITS = 29
_MEND = "download it again"
# What the last bytes of a photo hold: OpenCV paints the rest of a truncated one gray and says nothing.
_END = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}


@dataclass(frozen=True, eq=False)
class Record:
    """One record.

    Attributes:
        where: file and offset, for messages.
        labels: (n,) float32, n >= 1; of a photo, the first is its person.
        number: what the writer numbered it.
        photo: the encoded photo; empty in a record that speaks of others.
    """

    where: str
    labels: np.ndarray
    number: int
    photo: bytes

    @property
    def identity(self) -> int:
        """The person's number, from 0.

        Raises:
            DataError: the label is no such number.
        """
        label = float(self.labels[0])
        if label < 0 or not label.is_integer():
            raise DataError(f"{self.where}: label {label:g} is not the number of a person; {_MEND}")
        return int(label)

    def image(self) -> np.ndarray:
        """The photo, RGB (height, width, 3) uint8.

        Raises:
            PhotoError: it cannot be decoded.
        """
        return decode_embedded_image(self.photo, self.where)


def decode_embedded_image(encoded: bytes, where: str) -> np.ndarray:
    """Decode a JPEG or PNG file that lies inside another file.

    Args:
        encoded: its bytes.
        where: file and place, for messages.

    Returns:
        RGB (height, width, 3) uint8, upright.

    Raises:
        PhotoError: it is no photo, truncated, damaged or too large.
    """
    try:
        # Sizes are checked here, before any memory is taken for them.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(encoded), formats=tuple(_END)) as header,
        ):
            large, end = header.width * header.height > MAX_PIXELS, _END[header.format or ""]
    except Image.DecompressionBombError:
        large, end = True, b""
    except Exception as error:  # Pillow raises whatever damaged data makes it trip over
        raise PhotoError(f"{where}: no JPEG or PNG photo; {_MEND}") from error
    if large:
        raise PhotoError(f"{where}: a photo of more than {MAX_PIXELS // 2**20} megapixels; scale it down")
    if end not in encoded:
        raise PhotoError(f"{where}: a truncated photo; {_MEND}")
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise PhotoError(f"{where}: a damaged photo; {_MEND}")
    return image


class RecordIOReader:
    """A file of records: iteration gives its photos in the order of the file, `read` any record by its key.

    Random access needs the index. An open reader may be shared by threads and forked processes; the file is closed
    with the last reference to it at the latest.

    Attributes:
        path: the file.
        keys: (n,) int64, of the photos, ascending; empty without an index.
        people: (m,) int64, keys of the people's records, ascending; empty where the set has none.
    """

    _file = -1

    def __init__(self, path: Path, index: Path | None = None) -> None:
        """Open `path`, with `index` if there is one.

        Raises:
            DataError: a file is missing, empty or damaged, or the two are not of the same set.
        """
        self.path = path
        self._keys: np.ndarray = np.empty(0, np.int64)
        self._offsets = self._keys
        if index is not None:
            self._keys, self._offsets = _read_index(index)
        try:
            self._file = os.open(path, os.O_RDONLY)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            self.close()
            raise DataError(f"{path}: cannot be opened ({error.strerror}); give the path of a .rec file") from error
        try:
            if self._size == 0:
                raise DataError(f"{path}: empty (0 bytes); {_MEND}")
            if index is not None:
                self._check_end(index)
            self.keys, self.people = self._divide()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __iter__(self) -> Iterator[Record]:
        """The records with a photo, in the order of the file; no index is needed.

        Raises:
            DataError: a record is damaged, or the file ends early.
        """
        count, offset = 0, 0
        first = last = None
        while offset < self._size:
            last, offset = self._record(offset)
            count += 1
            first = first or last
            if last.photo:
                yield last
            else:
                _key_range(last)
        # A file cut between two records has no damage to see; a missing record 0 makes the last a person's.
        header = next((r for r in (first, last) if r is not None and not r.photo), None)
        if header is not None and header.labels[1] != np.float32(count):
            raise DataError(f"{self.path}: {count} records, {header.labels[1]:.0f} by {header.where}; {_MEND}")
        if len(self._keys) and len(self._keys) != count:
            raise DataError(f"{self.path}: {count} records, {len(self._keys)} in the index; {_MEND}, both files")

    def read(self, key: int) -> Record:
        """The record of a key.

        Raises:
            DataError: there is no index, no such key, or the record is damaged.
        """
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            reason = "not in the index" if len(self._keys) else "needs an index, the file train.idx"
            raise DataError(f"{self.path}: record {key} {reason}")
        return self._record(int(self._offsets[place]))[0]

    def photos_of(self, person: int) -> range:
        """The keys of a person's photos.

        Args:
            person: one of `people`.

        Raises:
            DataError: as for `read`, or the record is not a person's.
        """
        record = self.read(person)
        keys = _key_range(record)
        if person not in self.people or len(self.keys) == 0 or keys.stop > self.keys[-1] + 1:
            raise DataError(f"{record.where}: record {person} is not a person's")
        return keys

    def _divide(self) -> tuple[np.ndarray, np.ndarray]:
        """The keys of photos and of people, by record 0."""
        if len(self._keys) == 0 or self._keys[0] != 0:
            return self._keys, self._keys[:0]
        header = self.read(0)
        if header.photo:
            return self._keys, self._keys[:0]
        people = _key_range(header)
        if np.float32(len(self._keys)) != np.float32(people.stop):
            raise DataError(
                f"{header.where}: {people.stop} records, {len(self._keys)} in the index; {_MEND}, both files"
            )
        first = int(np.searchsorted(self._keys, people.start))
        return self._keys[1:first], self._keys[first:]

    def _check_end(self, index: Path) -> None:
        """The last record of the index must be the last of the file."""
        last = int(self._offsets.max())
        if last >= self._size or self._record(last)[1] != self._size:
            raise DataError(f"{index}: not the index of {self.path}, or one of the two is cut short; {_MEND}, both")

    def _record(self, offset: int) -> tuple[Record, int]:
        """The record at an offset, and the offset of the next."""
        content, end = self._content(offset)
        where = f"{self.path}, byte {offset}"
        if len(content) < _HEAD.size:
            raise DataError(f"{where}: a record of {len(content)} bytes, too short for its header; {_MEND}")
        count, label, number, _ = _HEAD.unpack_from(content)
        start = _HEAD.size + 4 * count
        if start > len(content):
            raise DataError(f"{where}: {count} labels in a record of {len(content)} bytes; {_MEND}")
        labels = np.frombuffer(content, "<f4", count, _HEAD.size) if count else np.array([label], np.float32)
        return Record(where, labels, number, content[start:]), end

    def _content(self, offset: int) -> tuple[bytes, int]:
        """The bytes of a record, its parts joined, and the offset of the next."""
        parts: list[bytes] = []
        while True:
            magic, word = _PART.unpack(self._bytes(offset, _PART.size))
            flag, length = word >> _LENGTH_BITS, word & (1 << _LENGTH_BITS) - 1
            if magic != MAGIC or flag not in ((_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)):
                raise DataError(f"{self.path}, byte {offset}: no record where one should be; {_MEND}")
            offset += _PART.size
            padded = (length + 3) // 4 * 4
            parts.append(self._bytes(offset, padded)[:length])
            offset += padded
            if flag in (_WHOLE, _LAST):
                return _MAGIC_BYTES.join(parts), offset

    def _bytes(self, offset: int, count: int) -> bytes:
        # Checked before reading: a damaged length must not take half a gigabyte.
        if offset + count <= self._size:
            try:
                data = os.pread(self._file, count, offset)
            except OSError as error:
                raise DataError(f"{self.path}, byte {offset}: cannot be read ({error.strerror})") from error
            if len(data) == count:
                return data
        raise DataError(f"{self.path}, byte {offset}: the file ends inside a record; {_MEND}")


@dataclass(frozen=True, kw_only=True)
class RecordIOImage(IdentityImage):
    """A photo in a file of records.

    Attributes:
        reader: of the file, with an index; all portraits of a file share it, so one file is open.
        key: of the photo.
    """

    reader: RecordIOReader
    key: int

    @property
    def where(self) -> str:
        """Where the photo is, for messages."""
        return f"{self.path}, record {self.key}"

    def _decode(self) -> np.ndarray:
        return self.reader.read(self.key).image()


def read_recordio(folder: Path) -> IdentityDataset:
    """Every photo of a training set, in the order of keys; identities are "record-0" and on.

    All records are read once, one at a time, for their labels.

    Raises:
        DataError: train.rec or train.idx is missing, damaged or of another set, or holds no photo.
    """
    file, index = (folder / name for name in FILES)
    for path in (file, index):
        if not path.is_file():
            raise DataError(f"{path}: no such file; prepare.recordio.path must be the folder of {' and '.join(FILES)}")
    reader = RecordIOReader(file, index)
    portraits = []
    for key in reader.keys.tolist():
        identity = f"record-{reader.read(key).identity}"
        source = f"{file.name}, record {key}"
        portraits.append(RecordIOImage(file, identity, source, LICENSE, reader=reader, key=key))
    if not portraits:
        raise DataError(f"{file}: no photo in it; {_MEND}")
    return IdentityDataset(tuple(portraits))


def _key_range(record: Record) -> range:
    """The keys from one label to the other."""
    labels = record.labels.tolist()
    if record.photo or len(labels) != 2 or not (float(labels[0]).is_integer() and float(labels[1]).is_integer()):
        raise DataError(f"{record.where}: neither a photo nor the two keys of a record without one; {_MEND}")
    start, stop = int(labels[0]), int(labels[1])
    if not 1 <= start <= stop:
        raise DataError(f"{record.where}: keys {start} to {stop} are no range; {_MEND}")
    return range(start, stop)


def _read_index(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Keys, ascending, and offsets, (n,) int64 each."""
    try:
        # NumPy only warns of an empty file and of fractions.
        with path.open(encoding="ascii") as stream, warnings.catch_warnings(action="error"):
            table = np.loadtxt(stream, np.int64, delimiter="\t", comments=None, ndmin=2)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); give the path of an .idx file") from error
    except (ValueError, OverflowError, Warning) as error:
        raise DataError(f"{path}: not lines of a key, a tab and an offset; {_MEND}") from error
    if table.shape[1] != 2 or len(table) == 0:
        raise DataError(f"{path}: not lines of a key, a tab and an offset; {_MEND}")
    keys, offsets = table[np.argsort(table[:, 0], kind="stable")].T.copy()
    if keys[0] < 0 or (np.diff(keys) == 0).any() or offsets.min() < 0:
        raise DataError(f"{path}: a key stands twice, or a key or offset is negative; {_MEND}")
    return keys, offsets
