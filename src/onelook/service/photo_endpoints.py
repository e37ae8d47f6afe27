"""Endpoints of the questions about photos: detect, embed, verify and identify."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import Field

from onelook.error_rates import DEFAULT_FAR
from onelook.faces import Face
from onelook.gallery.face_selection import select_face
from onelook.gallery.verification import verify_faces
from onelook.service import schemas
from onelook.service.photo_form import Photo, form_schema, read_photo_form
from onelook.service.recognition import Recognition

Choice = Annotated[
    Literal["largest"] | Annotated[int, Field(ge=1)] | None,
    Query(description="the face that counts in a photo of several: largest, or its number from 1, as in detect"),
]
ADVICE = "choose one by ?face=largest or ?face=N, or crop the photo"


def photo_router(recognition: Recognition) -> APIRouter:
    """Make the endpoints of the questions about photos."""
    router = APIRouter(prefix="/api/v1", tags=["photos"])
    admission = recognition.admission

    async def detect_faces(request: Request) -> tuple[tuple[int, int], list[Face]]:
        (photo,) = (await read_photo_form(request, admission, "photo")).photos
        (height, width), faces = await recognition.detect(photo, lambda image, faces: (image.shape[:2], faces))
        request.state.faces += len(faces)
        return (width, height), faces

    @router.post("/detect", response_model=schemas.Detection, openapi_extra=form_schema("photo"))
    async def detect(request: Request) -> dict[str, object]:
        """Detect the faces of a photo."""
        size, faces = await detect_faces(request)
        return _make_answer(size, [face_to_dict(face) for face in faces])

    @router.post("/embed", response_model=schemas.Embedding, openapi_extra=form_schema("photo"))
    async def embed(request: Request) -> dict[str, object]:
        """Detect and embed the faces of a photo."""
        size, faces = await detect_faces(request)
        embedded = [{**face_to_dict(face), "embedding": face.embedding.round(6).tolist()} for face in faces]
        return {**_make_answer(size, embedded), "model": recognition.shared.gallery.metadata.fingerprint}

    @router.post("/identify", response_model=schemas.Identification, openapi_extra=form_schema("photo"))
    async def identify(request: Request) -> dict[str, object]:
        """Detect the faces of a photo, and identify them as people of the gallery."""
        size, faces = await detect_faces(request)
        identified = await recognition.use_gallery(lambda gallery: gallery.identify_detected(faces))
        return _make_answer(size, [{**face_to_dict(face), **face.to_dict()} for face in identified])

    @router.post("/verify", response_model=schemas.Verification, openapi_extra=form_schema("first", "second"))
    async def verify(
        request: Request,
        far: Annotated[float, Query(gt=0, lt=1, description="false-accept rate of the decision")] = DEFAULT_FAR,
        face: Choice = None,
    ) -> dict[str, object]:
        """Decide whether two photos show the same person."""
        form = await read_photo_form(request, admission, "first", "second")
        one, other = [await _detect_single(recognition, photo, face) for photo in form.photos]
        request.state.faces += 2
        compared = verify_faces(one, other, recognition.shared.gallery.metadata, far)
        return {**compared.to_dict(), "faces": [face_to_dict(one), face_to_dict(other)]}

    return router


def face_to_dict(face: Face) -> dict[str, object]:
    """Convert a face with its quality to a JSON object; see `schemas.Face`."""
    return {**Face.to_dict(face), **face.quality.to_dict()}


def choose_face(photo: Photo, faces: Sequence[Face], choice: Choice) -> Face:
    """Return the face that counts in a photo.

    Raises:
        PhotoError: no face was detected, several count and none is chosen, or the chosen one does not exist.
    """
    boxes = np.asarray([face.box for face in faces], np.float32).reshape(-1, 4)
    scores = np.asarray([face.score for face in faces], np.float32)
    return faces[select_face(boxes, scores, choice, photo.label, ADVICE)]


async def _detect_single(recognition: Recognition, photo: Photo, choice: Choice) -> Face:
    return await recognition.detect(photo, lambda _, faces: choose_face(photo, faces, choice))


def _make_answer(size: tuple[int, int], faces: list[dict[str, object]]) -> dict[str, object]:
    return {"width": size[0], "height": size[1], "faces": faces}
