"""The reader of InsightFace's verification sets (lfw.bin, agedb_30.bin, ...): pairs of photos, of one person or of two.

Such a file is a pickle of a list of 2n encoded photos and a list of n booleans. To unpickle a stranger's file is to run
it, so Python's unpickler never sees one. The file is walked here opcode by opcode, and only the opcodes that build
lists, tuples, bytes, text, integers and booleans are carried out; any other is refused. No name is ever imported and
nothing is ever called: the one global that Python 3 writes for bytes in its protocol 2, `_codecs.encode`, is recognized
by its name and done here as what it stands for, Latin-1 text to bytes.
"""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onelook.data.readers.recordio import decode_embedded_image
from onelook.errors import DataError

_MEND = "download it again from where it came"
_ENCODE = object()
"""Stands for `_codecs.encode` on the stack."""


@dataclass(frozen=True, eq=False)
class VerificationPairs:
    """A verification set; photos stay encoded until they are asked for.

    Attributes:
        path: the file.
        encoded: 2n photos; 2i and 2i + 1 are pair i.
        same: (n,) bool, whether a pair shows one person.
    """

    path: Path
    encoded: tuple[bytes, ...]
    same: np.ndarray

    def __len__(self) -> int:
        """The number of pairs, n."""
        return len(self.same)

    def image(self, number: int) -> np.ndarray:
        """Photo `number` of the 2n, RGB (height, width, 3) uint8.

        Raises:
            PhotoError: it cannot be decoded.
        """
        return decode_embedded_image(self.encoded[number], f"{self.path}, photo {number}")

    def images(self) -> Iterator[np.ndarray]:
        """All 2n photos in order, as `image` gives them."""
        return (self.image(number) for number in range(len(self.encoded)))


def read_verification(path: Path) -> VerificationPairs:
    """Read a verification set, of Python 2 or 3 and pickle protocol 2 or above.

    Raises:
        DataError: the file is missing, truncated, holds anything but photos and booleans, or not two photos to each
            boolean.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); give the path of a verification set") from error
    try:
        value = _walk(data)
    except (ValueError, IndexError, KeyError) as error:
        raise DataError(f"{path}: not a verification set ({_one_line(error)}); {_MEND}") from error
    if not (isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, list) for part in value)):
        raise DataError(f"{path}: not a list of photos and a list of booleans; {_MEND}")
    encoded, same = value
    if not all(isinstance(photo, bytes) for photo in encoded):
        raise DataError(f"{path}: not every photo is stored as bytes; {_MEND}")
    if not all(isinstance(flag, int) and flag in (0, 1) for flag in same):
        raise DataError(f"{path}: not every pair is marked true or false; {_MEND}")
    if len(encoded) != 2 * len(same) or not same:
        raise DataError(f"{path}: {len(encoded)} photos for {len(same)} pairs; {_MEND}")
    return VerificationPairs(path, tuple(encoded), np.array(same, bool))


def _walk(data: bytes) -> Any:
    """What the pickle builds.

    Raises:
        ValueError, IndexError, KeyError: it is damaged or holds an opcode that is refused.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    # Text is encoded once for each time it was written; a file that encodes one text over and over is made to harm.
    left_to_encode = len(data)

    def pop(count: int) -> list[Any]:
        if len(stack) - (marks[-1] if marks else 0) < count:
            raise IndexError("nothing on the stack")
        taken = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return taken

    def pop_to_mark() -> list[Any]:
        taken = stack[marks[-1] :]
        del stack[marks.pop() :]
        return taken

    def extend(values: list[Any]) -> None:
        if not isinstance(stack[-1], list):
            raise ValueError("an append to what is no list")
        stack[-1].extend(values)

    operations: Iterator[tuple[Any, Any, Any]] = pickletools.genops(data)
    for opcode, argument, position in operations:
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "LIST":
                stack.append(pop_to_mark())
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(pop(int(opcode.name[-1]))))
            case "APPEND":
                extend(pop(1))
            case "APPENDS":
                extend(pop_to_mark())
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "INT":
                stack.append(argument)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8":
                stack.append(argument)
            case "BINSTRING" | "SHORT_BINSTRING":  # the bytes of Python 2, which genops gives as Latin-1
                stack.append(argument.encode("latin-1"))
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(argument)
            case "GLOBAL" if argument == "_codecs encode":
                stack.append(_ENCODE)
            case "REDUCE":
                function, arguments = pop(2)
                match arguments:
                    case (str(text), "latin1") if function is _ENCODE and len(text) <= left_to_encode:
                        left_to_encode -= len(text)
                        stack.append(text.encode("latin-1"))
                    case _:
                        raise ValueError(f"byte {position}: a call, which is refused")
            case "STOP":
                (value,) = pop(1)
                return value
            case name:
                what = f"{name} {argument}" if isinstance(argument, str) else name
                raise ValueError(f"byte {position}: {what}, which is refused")
    raise ValueError("no end")


def _one_line(error: Exception) -> str:
    """An error's text; pickletools' may be long and hold the file's own bytes."""
    text = " ".join(str(error).split())
    return text if len(text) <= 100 else text[:97] + "..."
