"""Write a whole gallery into Milvus, and check whether one is there."""

import logging
import uuid
from pathlib import Path

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryData
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.collections import Collections
from onelook.gallery.milvus_backend.transactions import PROCESS_LOCK, make_people_records, make_photo_record

logger = logging.getLogger(__name__)


def has_gallery(address: MilvusAddress) -> bool:
    """Return whether there is a gallery at an address.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if address.is_embedded and not Path(address.uri).exists():
        return False
    return Collections(address).read_header() is not None


def write_gallery(address: MilvusAddress, data: GalleryData, *, replace: bool) -> None:
    """Write gallery data as a new version, which the last call activates in one step.

    Rejections and the record of forgotten people are left out, with a warning.

    Raises:
        GalleryError: there is a gallery that is not to be replaced, a photo is enrolled twice, or Milvus cannot be
            used.
    """
    collections = Collections(address, create=True)
    if not replace and collections.read_header() is not None:
        raise GalleryError(f"{address}: already holds a gallery; name another")
    if len({face.sha256 for face in data.faces}) < len(data.faces):
        raise GalleryError(f"{address}: one photo is enrolled twice, Milvus keeps a photo once; enroll again there")
    if data.rejections:
        logger.warning(
            "%s: left out: %d faces that are not somebody; Milvus does not keep them", address, len(data.rejections)
        )
    if data.forgotten:
        logger.warning("%s: left out: the record of %d forgotten people", address, len(data.forgotten))
    with PROCESS_LOCK:
        version = collections.create_version(data.metadata.embedding_size)
        ids = {name: uuid.uuid4().hex for name in sorted(set(data.identities))}
        rows = zip(data.faces, data.embeddings, strict=True)
        photos = [make_photo_record(face, ids[face.person], i, row) for i, (face, row) in enumerate(rows)]
        collections.upsert(version, "photos", photos)
        names = {person_id: name for name, person_id in ids.items()}
        collections.upsert(version, "people", make_people_records(photos, names))
        collections.write_header(version, data.metadata.model_copy(update={"managed": False}))
