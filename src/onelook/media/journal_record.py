"""Check of a journal's records: the keys that readers use, and the types of their values.

A record of an earlier version has fewer keys of a face, so these are optional here.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, NonNegativeInt, TypeAdapter

from onelook.untrusted import parse_json_object

Record = dict[str, Any]
"""A JSON object: `what` is "photo", "video", "track" or "frame"; `source`, `more` and further keys by kind."""

_Path = InstanceOf[str]
"""Text with the bytes of a path that are not UTF-8 as half surrogate pairs, which a `str` of Pydantic must not have."""
_Box = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Named(_Checked):
    name: str | None
    nearest: str | None
    reason: str | None = None
    similarity: float | None = None
    margin: float | None = None
    confidence: float | None = None


class _Identity(_Named):
    row: NonNegativeInt | None


class _Detected(_Checked):
    box: _Box
    score: float
    size: float
    sharpness: float
    profile: float | None = None


class _PhotoFace(_Detected, _Identity):
    pass


class _FrameFace(_Detected, _Named):
    track: int


class _Best(_Detected):
    frame: NonNegativeInt
    others: list[_Box]


class _File(_Checked):
    source: _Path
    more: bool
    bytes: int
    mtime_ns: int
    picture: _Path | None
    error: _Path | None


class _Photo(_File):
    what: Literal["photo"]
    faces: list[_PhotoFace]


class _Video(_File):
    what: Literal["video"]
    tracks: int


class _Frame(_Checked):
    what: Literal["frame"]
    source: _Path
    more: bool
    frame: NonNegativeInt
    time: float
    faces: list[_FrameFace]


class _Track(_Identity):
    what: Literal["track"]
    source: _Path
    more: bool
    track: int
    best: _Best


_RECORD: TypeAdapter[object] = TypeAdapter(
    Annotated[_Photo | _Video | _Frame | _Track, Field(discriminator="what")],
)


def parse_record(line: bytes) -> Record:
    """Parse a line of a journal.

    Raises:
        ValueError: it is not a record.
    """
    record = parse_json_object(line, allow_surrogates=True)
    _RECORD.validate_python(record)
    return record
