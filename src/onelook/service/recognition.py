"""The work of the API: photos in batches across requests, and the gallery in a thread."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO
from typing import TypeVar

import numpy as np
from PIL import Image

from onelook.data.image_io import MAX_PIXELS, decode_image
from onelook.errors import GalleryError, PhotoError
from onelook.faces import Face
from onelook.gallery.gallery import Gallery
from onelook.service.admission import Admission
from onelook.service.batcher import Batcher
from onelook.service.errors import ApiError
from onelook.service.photo_form import Photo
from onelook.service.shared_gallery import SharedGallery

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Recognition:
    """The model and the gallery of the API, for coroutines.

    Attributes:
        shared: the gallery.
        admission: limits, and what is in progress.
    """

    def __init__(self, shared: SharedGallery, admission: Admission, observe_batch: Callable[[int], None]) -> None:
        """Start the thread of the batches.

        Args:
            shared: the gallery.
            admission: limits, and what is in progress.
            observe_batch: called with the size of each batch.
        """
        self.shared = shared
        self.admission = admission

        def detect(images: list[np.ndarray]) -> list[list[Face]]:
            observe_batch(len(images))
            return shared.gallery.detect_all(images)

        self._batcher = Batcher(detect, shared.gallery.batch_size)

    def close(self) -> None:
        """Finish what is in progress, and end the thread."""
        self._batcher.close()

    async def detect(self, photo: Photo, convert: Callable[[np.ndarray, list[Face]], Result]) -> Result:
        """Detect and embed the faces of a photo, in a batch with photos of other requests.

        Args:
            photo: the photo.
            convert: makes the result of the image, RGB uint8 (H, W, 3), and its faces, best detection score first. The
                image is not kept.

        Raises:
            ApiError: 413: the photo has too many pixels.
            PhotoError: the photo cannot be read, or raised by `convert`.
        """
        async with self.admission.decoded_photo() as set_pixels:
            image = await asyncio.to_thread(_decode, photo)
            set_pixels(image.shape[0] * image.shape[1])
            faces = await asyncio.wrap_future(self._batcher.submit(image))
            return await asyncio.to_thread(convert, image, faces)

    async def use_gallery(self, operation: Callable[[Gallery], Result]) -> Result:
        """Run an operation on the gallery in a thread, while no other one runs.

        Raises:
            ApiError: 503: the gallery cannot be read.
            OnelookError: raised by `operation`.
        """
        return await asyncio.to_thread(self._use_gallery, operation)

    def _use_gallery(self, operation: Callable[[Gallery], Result]) -> Result:
        with ExitStack() as stack:
            try:
                gallery = stack.enter_context(self.shared.use())
            except GalleryError as error:
                logger.error("%s", error)
                raise ApiError(503, "the gallery cannot be read; the log of the server says why") from error
            return operation(gallery)


def _decode(photo: Photo) -> np.ndarray:
    try:
        return decode_image(photo.data, photo.label)
    except PhotoError as error:
        if _is_too_large(photo.data):
            raise ApiError(413, str(error)) from error
        raise


def _is_too_large(data: bytes) -> bool:
    """Return whether a photo that cannot be decoded has too many pixels, by its header."""
    try:
        with Image.open(BytesIO(data)) as image:
            return image.width * image.height > MAX_PIXELS
    except Image.DecompressionBombError:
        return True
    except Exception:  # not a photo, or a damaged one
        return False
