"""Readers of JSON and YAML that anybody may have written: limits of size and depth, finite numbers, no aliases.

All of them raise a ValueError with a message of one line, whatever the input is; callers add the path and the advice.
Archives of torch.save are checked before torch reads them.
"""

import io
import json
import math
import pickle
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:  # an exported model is read without pydantic
    from pydantic import ValidationError

MAX_BYTES = 64 * 2**20
"""Most bytes of a document, or of a line of a file of JSON lines."""
MAX_DEPTH = 64
"""Most lists and mappings inside one another."""

DAMAGED_PICKLE = (
    *(RuntimeError, LookupError, TypeError, AttributeError, EOFError, ValueError),
    *(pickle.UnpicklingError, struct.error, AssertionError),
)
"""What torch.load of a damaged file raises, also with weights_only, which executes nothing of the file."""
ARCHIVE_START = b"PK\x03\x04"
"""First bytes of what torch.save writes, a ZIP archive."""

_MAX_MESSAGE = 200
_MAX_SHOWN = 60
# A text can hold a code point that is no character only as an escape. Only such a document is searched for it.
_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_NULL_ESCAPE = re.compile(r"\\u0000")


def parse_json(data: bytes | str, max_bytes: int = MAX_BYTES, *, allow_surrogates: bool = False) -> Any:
    """Parse a JSON document in UTF-8.

    Args:
        data: the document.
        max_bytes: most bytes of it.
        allow_surrogates: permit half surrogate pairs, which stand for the bytes of a path that are not UTF-8.

    Raises:
        ValueError: it is not JSON, too large or nested too deeply, or has a number that is not finite, a null character
            or half a surrogate pair.
    """
    if len(data) > max_bytes:
        raise ValueError(f"larger than {max_bytes / 2**20:.3g} MiB")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(text, parse_float=_parse_finite, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        raise ValueError(one_line(error)) from None
    if (_NULL_ESCAPE if allow_surrogates else _ESCAPE).search(text):
        _check_tree(value, allow_surrogates)
    elif text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Parse a JSON file; its size is checked before it is read.

    Raises:
        OSError: the file cannot be read.
        ValueError: as `parse_json`.
    """
    return parse_json(read_limited(path, max_bytes), max_bytes)


def parse_json_object(data: bytes | str, *, allow_surrogates: bool = False) -> dict[str, Any]:
    """Parse a JSON document that is an object.

    Raises:
        ValueError: as `parse_json`, or it is another value.
    """
    value = parse_json(data, allow_surrogates=allow_surrogates)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def parse_yaml(text: str) -> Any:
    """Parse a YAML document of plain values.

    Raises:
        ValueError: it is not YAML, nested too deeply, or has an alias, an object of Python, a key that is no text, a
            number that is not finite, a null character or half a surrogate pair.
    """
    import yaml  # `onelook.gpu_check` runs without it

    if len(text) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES // 2**20} MiB")
    depth = 0

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
            nonlocal depth
            if self.check_event(yaml.AliasEvent):
                raise ValueError(f"line {self.line + 1}: an alias (*name); write the value itself")
            if depth > MAX_DEPTH:
                raise ValueError(_TOO_DEEP)
            depth += 1
            node: yaml.Node | None = super().compose_node(parent, index)
            depth -= 1
            return node

    try:
        value = yaml.load(text, Loader)
    except Exception as error:  # PyYAML's constructors raise exceptions of many types for an odd scalar
        raise ValueError(one_line(error)) from error
    _check_tree(value)
    return value


def read_limited(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a file that may have at most so many bytes.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is larger.
    """
    with path.open("rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"larger than {max_bytes / 2**20:.3g} MiB")
    return data


def iter_lines(stream: BinaryIO, max_bytes: int = MAX_BYTES) -> Iterator[bytes]:
    """Yield the lines of a file with their ends, one at a time in memory.

    Raises:
        ValueError: a line is longer than `max_bytes`.
    """
    while line := stream.readline(max_bytes + 1):
        if len(line) > max_bytes:
            raise ValueError(f"a line is longer than {max_bytes / 2**20:.3g} MiB")
        yield line


def check_archive(stream: BinaryIO) -> None:
    """Check that a ZIP archive unpacks to no more bytes than it has, as one of torch.save does.

    torch reserves and fills what the members state, also if they are compressed a thousandfold or overlap (ZIP bombs).

    Raises:
        ValueError: it is damaged, or unpacks to more.
    """
    size = stream.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(stream) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except Exception as error:  # zipfile raises exceptions of many types for a damaged directory
        raise ValueError(one_line(error)) from error
    if unpacked > size:
        raise ValueError(f"an archive of {size} bytes that unpacks to {unpacked}")


_TOO_DEEP = f"more than {MAX_DEPTH} lists and mappings inside one another"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}: a number that is not finite")


def _parse_finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise ValueError(f"{digits[:20]}: a number that is not finite")
    return number


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for each in level:
            if type(each) is list:
                below += each
            elif type(each) is dict:
                below += each.values()
        if not below:
            return
        level = below
    raise ValueError(_TOO_DEEP)


def _check_tree(value: Any, allow_surrogates: bool = False) -> None:
    """Check depth, keys, numbers and texts of parsed values, level by level."""
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(MAX_DEPTH + 1):
        below: list[tuple[str, Any]] = []
        for where, each in level:
            if isinstance(each, dict):
                _check_texts(each, allow_surrogates)
                below += [(f"{where}.{key}" if where else key, child) for key, child in each.items()]
            elif isinstance(each, list | tuple | set):
                below += [(where, child) for child in each]
            elif isinstance(each, float) and not math.isfinite(each):
                raise ValueError(f"{printable(where)}: {each}: a number that is not finite")
            elif isinstance(each, str):
                _check_texts([each], allow_surrogates)
        if not below:
            return
        level = below
    raise ValueError(_TOO_DEEP)


def _check_texts(texts: Iterable[Any], allow_surrogates: bool) -> None:
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"{text!r}: a key that is no text; quote it")
        if "\0" in text:
            raise ValueError(f"{text[:40]!a}: holds a null character")
        try:
            text.encode("utf-8", "surrogatepass" if allow_surrogates else "strict")
        except UnicodeEncodeError:
            raise ValueError(f"{text[:40]!a}: holds half a surrogate pair") from None


def one_line(error: BaseException) -> str:
    """Return the message of an exception of a library in one line, or the name of its type.

    A message may quote bytes of a file: what a terminal would not print, such as its own commands, is escaped.
    """
    message = " ".join(str(error).split()) or type(error).__name__
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in message)[:_MAX_MESSAGE]


def first_problem(error: "ValidationError") -> str:
    """Return the place and the message of the first problem of a document; its keys may be anything."""
    problem = error.errors()[0]
    where = printable(".".join(str(part) for part in problem["loc"]))
    return f"{where}: {problem['msg']}" if where else problem["msg"]


def printable(text: str) -> str:
    """Return the start of an untrusted text for a message, in one line of ASCII."""
    shown = ascii(text)[1:-1]
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
