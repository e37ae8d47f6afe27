"""Reader of InsightFace's verification sets (lfw.bin, agedb_30.bin, ...).

Such a file is a pickle of a list of 2n encoded images and a list of n booleans. Unpickling an untrusted file can run
any code. This reader therefore refuses every global but `_codecs.encode`, with which Python 3 writes bytes in protocol
2. See "Restricting Globals" in the documentation of Python's `pickle`.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.data.readers.recordio import decode_embedded_image
from onelook.errors import DataError

_ADVICE = "download it again from its source"


@dataclass(frozen=True, eq=False)
class VerificationPairs:
    """Verification set, whose images are decoded on access.

    Attributes:
        path: the file.
        encoded: 2n encoded images; 2i and 2i + 1 are pair i.
        same: (n,) bool, True for a pair of one identity.
    """

    path: Path
    encoded: tuple[bytes, ...]
    same: np.ndarray

    def __len__(self) -> int:
        """Return the number of pairs, n."""
        return len(self.same)

    def image(self, index: int) -> np.ndarray:
        """Decode image `index` of the 2n, RGB (height, width, 3) uint8.

        Raises:
            PhotoError: the image cannot be decoded.
        """
        return decode_embedded_image(self.encoded[index], f"{self.path}, image {index}")

    def images(self) -> Iterator[np.ndarray]:
        """Iterate over all 2n images in order, decoded as by `image`."""
        return (self.image(index) for index in range(len(self.encoded)))


def read_verification_bin(path: Path) -> VerificationPairs:
    """Read a verification set, pickled by Python 2 or 3.

    Raises:
        DataError: the file is missing or truncated, holds anything but images and booleans, or does not hold two
            images for each boolean.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); give the path of a verification set") from error
    try:
        value = _RestrictedUnpickler(data).load()
    except MemoryError as error:
        raise DataError(f"{path}: too little memory to read it; close other programs") from error
    except Exception as error:  # the exceptions that damaged pickles raise are of many types
        raise DataError(f"{path}: not a verification set ({_one_line(error)}); {_ADVICE}") from error
    if not (isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, list) for part in value)):
        raise DataError(f"{path}: not a list of images and a list of booleans; {_ADVICE}")
    encoded, same = value
    if not all(isinstance(image, bytes) for image in encoded):
        raise DataError(f"{path}: not every image is stored as bytes; {_ADVICE}")
    if not all(isinstance(flag, int) and flag in (0, 1) for flag in same):
        raise DataError(f"{path}: not every pair is marked true or false; {_ADVICE}")
    if len(encoded) != 2 * len(same) or not same:
        raise DataError(f"{path}: {len(encoded)} images for {len(same)} pairs; {_ADVICE}")
    return VerificationPairs(path, tuple(encoded), np.array(same, bool))


class _RestrictedUnpickler(pickle.Unpickler):
    """Unpickler of plain data.

    Which imports nothing and calls nothing of the file's choice.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        for opcode, index, _ in pickletools.genops(data):
            # The C unpickler allocates an array up to the highest memo index, 64 GB for the index 2**32 - 1.
            if opcode.name in ("PUT", "LONG_BINPUT") and int(index or 0) > len(data):
                raise pickle.UnpicklingError(f"memo index {index} is refused")
        # The file stores each text once. A file that encodes one text many times would fill the memory.
        self._encodable = len(data)

    def find_class(self, module: str, name: str) -> Callable[[str, str], bytes]:
        """Return the Latin-1 encoder for `_codecs.encode`; refuse every other name."""
        if (module, name) != ("_codecs", "encode"):
            raise pickle.UnpicklingError(f"{module}.{name} is refused")

        def encode(text: str, encoding: str) -> bytes:
            self._encodable -= len(text)
            if encoding != "latin1" or self._encodable < 0:
                raise pickle.UnpicklingError("this call of _codecs.encode is refused")
            return text.encode("latin1")

        return encode


def _one_line(error: Exception) -> str:
    """Return an error's message on one line of at most 100 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 100 else text[:97] + "..."
