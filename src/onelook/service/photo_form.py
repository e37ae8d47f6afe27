"""Photos of a request: a multipart form that is read into memory; nothing is written to disk."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from onelook.names import escape_unprintable
from onelook.service.admission import Admission
from onelook.service.errors import ApiError
from onelook.service.request_limits import BOUNDED_BODY

_MAX_NAME_LENGTH = 100
"""Last characters of a file name that are kept."""


@dataclass(frozen=True)
class Photo:
    """A photo file of a request.

    Attributes:
        data: bytes of the file.
        label: what error messages call it: its field, with its number where there are several.
        file_name: file name on the client's machine, printable.
    """

    data: bytes
    label: str
    file_name: str


@dataclass(frozen=True)
class PhotoForm:
    """The form of a request: text fields, and photos in their order."""

    texts: dict[str, str]
    photos: list[Photo]


class _MemoryParser(MultiPartParser):
    spool_max_size = 0  # files are never moved to disk


async def read_photo_form(
    request: Request, admission: Admission, *photo_fields: str, most: int = 1, texts: tuple[str, ...] = ()
) -> PhotoForm:
    """Read the form of a request.

    Args:
        request: the request.
        admission: limits and the count of bytes in memory.
        photo_fields: names of the fields with photos; each must be there.
        most: most photos of a field.
        texts: names of the text fields; each must be there.

    Raises:
        ApiError: the body is too large or no such form, or a field is missing, unknown or repeated.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise ApiError(415, "send a multipart form, such as curl -F photo=@photo.jpg does")
    stream = _stream(request, admission)
    parser = _MemoryParser(request.headers, stream, max_files=len(photo_fields) * most, max_fields=len(texts))
    try:
        async with asyncio.timeout(admission.limits.upload_seconds):
            items = (await parser.parse()).multi_items()
    except (TimeoutError, ClientDisconnect) as error:
        raise ApiError(408, "the upload did not arrive in time; send it again") from error
    except MultiPartException as error:
        raise ApiError(422, f"the form cannot be used ({error.message.rstrip('.')}); see /api/openapi.json") from error
    values = {name: [value for field, value in items if field == name] for name, _ in items}
    photos = []
    for field in photo_fields:
        files = values.pop(field, [])
        if not files or len(files) > most or any(isinstance(file, str) for file in files):
            raise ApiError(422, f"field {field}: needs {'one photo' if most == 1 else f'1 to {most} photos'} as a file")
        for number, file in enumerate(files, 1):
            assert not isinstance(file, str)
            label = field if len(files) == 1 else f"{field} {number}"
            name = escape_unprintable((file.filename or "")[-_MAX_NAME_LENGTH:]) or "photo"
            photos.append(Photo(await file.read(), label, name))
    fields: dict[str, str] = {}
    for field in texts:
        match values.pop(field, []):
            case [str(text)]:
                fields[field] = text
            case _:
                raise ApiError(422, f"field {field}: needs one text")
    if values:
        raise ApiError(422, f"field {escape_unprintable(min(values))[:50]}: unknown; see /api/openapi.json")
    return PhotoForm(fields, photos)


async def _stream(request: Request, admission: Admission) -> AsyncGenerator[bytes]:
    """Yield the body of a request; `request.state.received` counts its bytes, which stay in memory until its end."""
    request.scope[BOUNDED_BODY] = True
    admission.check_upload(_content_length(request))
    async for chunk in request.stream():
        request.state.received += len(chunk)
        admission.add_bytes(len(chunk))
        admission.check_upload(request.state.received)
        yield chunk


def _content_length(request: Request) -> int:
    try:
        return int(request.headers.get("content-length", 0))
    except ValueError:
        return 0


def form_schema(*photo_fields: str, most: int = 1, texts: tuple[str, ...] = ()) -> dict[str, object]:
    """Describe such a form in OpenAPI, for the parameter `openapi_extra` of a route."""
    file = {"type": "string", "format": "binary", "description": "a photo file: JPEG, PNG, HEIC, AVIF, WebP, ..."}
    several = {"type": "array", "items": file, "minItems": 1, "maxItems": most}
    photos: dict[str, object] = {**file} if most == 1 else several
    text: dict[str, object] = {"type": "string", "minLength": 1}
    properties = {**dict.fromkeys(photo_fields, photos), **dict.fromkeys(texts, text)}
    schema = {
        "type": "object",
        "properties": properties,
        "required": [*photo_fields, *texts],
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
