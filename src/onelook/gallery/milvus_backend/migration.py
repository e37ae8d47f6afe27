"""A whole gallery in Milvus: whether it is there, and written from what another holds."""

import uuid
from pathlib import Path

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryData
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.changes import TURN, people_records, photo_record
from onelook.gallery.milvus_backend.collections import Collections


def has_gallery(address: MilvusAddress) -> bool:
    """Whether a gallery is there.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if address.embedded and not Path(address.uri).exists():
        return False
    return Collections(address).read_head() is not None


def write_gallery(address: MilvusAddress, contents: GalleryData, *, replace: bool) -> None:
    """Write all that a gallery holds into Milvus; it holds from the last call on, and before that nothing is there.

    Raises:
        GalleryError: a gallery is there already and is not to be replaced, two rows are of one photo, or Milvus cannot
            be used.
    """
    tables = Collections(address, begin=True)
    if not replace and tables.read_head() is not None:
        raise GalleryError(f"{address}: already holds a gallery; name another")
    if len({entry.sha256 for entry in contents.entries}) < len(contents.entries):
        raise GalleryError(f"{address}: one photo is enrolled twice, Milvus keeps a photo once; enroll again there")
    with TURN:
        generation = tables.new_generation(contents.terms.embedding_size)
        ids = {name: uuid.uuid4().hex for name in contents.people()}
        rows = zip(contents.entries, contents.embeddings, strict=True)
        photos = [photo_record(entry, ids[entry.person], i, row) for i, (entry, row) in enumerate(rows)]
        tables.put(generation, "photos", photos)
        tables.put(generation, "people", people_records(photos, {key: name for name, key in ids.items()}))
        tables.write_head(generation, contents.terms.model_copy(update={"managed": False}))
