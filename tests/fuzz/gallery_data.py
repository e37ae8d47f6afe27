"""The gallery whose files are damaged."""

import numpy as np

from helpers.coded_faces import SIZE, make_embedding
from onelook.error_rates import DEFAULT_FPIR
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.settings import DetectSettings

FINGERPRINT = "a" * 64


def make_gallery_data() -> GalleryData:
    """Return two people of two faces each."""
    metadata = GalleryMetadata(
        fingerprint=FINGERPRINT,
        embedding_size=SIZE,
        threshold=0.6,
        target_fpir=DEFAULT_FPIR,
        detect=DetectSettings(score=0.5, nms=0.4, longest_side=640),
        managed=False,
    )
    faces = tuple(EnrolledFace(person=["Ann", "Bob"][i // 2], photo=f"{i}.png", sha256=f"{i:064x}") for i in range(4))
    rows = np.asarray([make_embedding(i // 2, i % 2) for i in range(4)], np.float32)
    return GalleryData(metadata, faces, rows)
