"""Endpoints of the people of the gallery: list, enroll, rename, merge, remove photos, forget."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Query, Request

from onelook.erasure.remainders import find_remainders
from onelook.errors import GalleryError
from onelook.gallery.gallery import Gallery
from onelook.gallery.location import Location
from onelook.gallery.pending_face import PendingFace, make_pending_face
from onelook.names import escape_path, normalize_name
from onelook.service import schemas
from onelook.service.errors import ApiError
from onelook.service.person_key import person_key
from onelook.service.photo_endpoints import Choice, choose_face
from onelook.service.photo_form import Photo, form_schema, read_photo_form
from onelook.service.recognition import Recognition

Key = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="key of the person, from the list of people")]
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256, from the photos of the person")]
Result = TypeVar("Result")


def people_router(recognition: Recognition) -> APIRouter:
    """Make the endpoints of the people of the gallery."""
    router = APIRouter(prefix="/api/v1/people", tags=["people"])
    most = recognition.admission.limits.max_photos

    async def use_person(key: str, operation: Callable[[Gallery, str], Result]) -> Result:
        return await recognition.use_gallery(lambda gallery: operation(gallery, _find_person(gallery, key)))

    @router.get("", response_model=schemas.People)
    async def list_people(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, offset: Annotated[int, Query(ge=0, le=10**9)] = 0
    ) -> dict[str, object]:
        """List the enrolled people, sorted by name."""
        people = await recognition.use_gallery(Gallery.people)
        page = list(people.items())[offset : offset + limit]
        return {"total": len(people), "people": [_describe(name, photos) for name, photos in page]}

    @router.post(
        "",
        status_code=201,
        response_model=schemas.Enrollment,
        openapi_extra=form_schema("photos", most=most, texts=("name",)),
    )
    async def enroll(request: Request, face: Choice = None) -> dict[str, object]:
        """Enroll photos of a person, new or not: all of them, or none if one cannot be used."""
        form = await read_photo_form(request, recognition.admission, "photos", most=most, texts=("name",))
        name = _normalize(form.texts["name"])
        pending = await asyncio.gather(*(_detect_pending(recognition, photo, face) for photo in form.photos))
        request.state.faces += len(pending)
        enrollment = await recognition.use_gallery(lambda gallery: gallery.enroll_faces(name, pending))
        return {
            **_describe(enrollment.name, enrollment.total),
            "added": enrollment.added,
            "already_enrolled": enrollment.already_enrolled,
            "warnings": enrollment.warnings,
            "duplicates": [vars(pair) for pair in enrollment.duplicates],
        }

    @router.get("/{key}", response_model=schemas.PersonWithPhotos)
    async def show_person(key: Key) -> dict[str, object]:
        """Return a person with the list of their photos."""

        def show(gallery: Gallery, name: str) -> dict[str, object]:
            faces = gallery.faces_by_person()[name]
            photos = [{"sha256": face.sha256, "photo": face.photo} for face in faces]
            return {"key": key, "name": name, "photos": photos}

        return await use_person(key, show)

    @router.patch("/{key}", response_model=schemas.Person)
    async def rename(key: Key, new: schemas.NewName) -> dict[str, object]:
        """Rename a person; the new name has another key."""
        new_name = _normalize(new.name)

        def change(gallery: Gallery, name: str) -> dict[str, object]:
            gallery.rename(name, new_name)
            return _describe(new_name, gallery.people()[new_name])

        return await use_person(key, change)

    @router.post("/{key}/merge", response_model=schemas.Person)
    async def merge(key: Key, target: schemas.Target) -> dict[str, object]:
        """Give the photos of a person to another, because both are one."""

        def change(gallery: Gallery, name: str) -> dict[str, object]:
            into = _find_person(gallery, target.into)
            gallery.merge(name, into)
            return _describe(into, gallery.people()[into])

        return await use_person(key, change)

    @router.delete("/{key}", response_model=schemas.Forgotten)
    async def forget(key: Key) -> dict[str, object]:
        """Remove a person from all files of the gallery, and return the known copies that still hold the person."""

        def remove(gallery: Gallery, name: str) -> tuple[Location, str]:
            gallery.forget(name)
            return gallery.location, name

        location, name = await use_person(key, remove)
        # Backups are read without the lock of the gallery.
        remainders = await asyncio.to_thread(lambda: list(find_remainders(location, name)))
        return {
            "name": name,
            "remainders": [
                {"path": escape_path(each.path), "content": each.content, "advice": each.advice} for each in remainders
            ],
        }

    @router.delete("/{key}/photos/{sha256}", response_model=schemas.Person)
    async def remove_photo(key: Key, sha256: Digest) -> dict[str, object]:
        """Remove a photo of a person who has others."""

        def remove(gallery: Gallery, name: str) -> dict[str, object]:
            if gallery.find_enrolled([sha256]).get(sha256) != name:
                raise ApiError(404, "the person has no such photo; list the photos of the person")
            gallery.remove_photos(name, [sha256])
            return _describe(name, gallery.people()[name])

        return await use_person(key, remove)

    return router


async def _detect_pending(recognition: Recognition, photo: Photo, choice: Choice) -> PendingFace:
    return await recognition.detect(
        photo, lambda image, faces: make_pending_face(image, choose_face(photo, faces, choice), photo.file_name)
    )


def _find_person(gallery: Gallery, key: str) -> str:
    name = next((name for name in gallery.people() if person_key(name) == key), None)
    if name is None:
        raise ApiError(404, "nobody with this key is enrolled; list the people")
    return name


def _normalize(name: str) -> str:
    try:
        return normalize_name(name)
    except GalleryError as error:
        raise ApiError(422, str(error)) from error


def _describe(name: str, photos: int) -> dict[str, object]:
    return {"key": person_key(name), "name": name, "photos": photos}
