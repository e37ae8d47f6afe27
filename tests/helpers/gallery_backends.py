"""Build a milvus-lite gallery and a folder gallery with equal content, and compare them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onelook.face_quality import Quality
from onelook.gallery.backend import GalleryBackend
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.enrollment import EnrollmentBatch
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.backend import MilvusBackend
from onelook.settings import DetectSettings

SIZE = 8
METADATA = GalleryMetadata(
    fingerprint="a" * 64,
    embedding_size=SIZE,
    threshold=0.6,
    target_fpir=0.01,
    detect=DetectSettings(score=0.5, nms=0.4, longest_side=640),
    managed=False,
)


def make_batch_of(names: Sequence[str], start: int = 0) -> EnrollmentBatch:
    """Make a face per name, numbered from `start`; a number always has the same embedding and quality."""
    entries, embeddings = [], []
    for number, name in enumerate(names, start):
        rng = np.random.default_rng(number)
        row = rng.normal(size=SIZE)
        quality = Quality(score=float(rng.random()), size=float(30 + 40 * rng.random()), sharpness=float(rng.random()))
        digest = f"{number:064x}"
        entries.append(EnrolledFace(person=name, photo=f"{number}.jpg", sha256=digest, quality=quality))
        embeddings.append(row / np.linalg.norm(row))
    return EnrollmentBatch(tuple(entries), np.asarray(embeddings, np.float32).reshape(len(names), SIZE))


def make_backends(folder: Path, database: Path) -> tuple[FaissBackend, MilvusBackend]:
    """Create an empty folder gallery, and an empty Milvus gallery of the same name."""
    return FaissBackend(folder, METADATA), MilvusBackend(MilvusAddress(str(database), folder.name), METADATA)


def equal_data(one: GalleryData, other: GalleryData) -> bool:
    """Return whether metadata, faces, order and every bit of the embeddings are equal."""
    return (
        one.metadata == other.metadata
        and one.faces == other.faces
        and one.embeddings.tobytes() == other.embeddings.tobytes()
    )


def answers(backend: GalleryBackend, probes: np.ndarray) -> tuple[list[list[str]], np.ndarray, int]:
    """Return the two nearest people of each probe, their similarities, and the number of people."""
    found = backend.search(probes)
    names = [[found.names[place] if place >= 0 else "" for place in places] for places in found.ranking.indices]
    return names, found.ranking.similarities, found.people_count


def assert_equal_results(one: GalleryBackend, other: GalleryBackend) -> None:
    """Assert that every method of both backends returns the same."""
    probes = np.random.default_rng(99).normal(size=(20, SIZE)).astype(np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    (names, similarities, people), (names2, similarities2, people2) = answers(one, probes), answers(other, probes)
    assert people == people2
    if people:
        assert names == names2
        np.testing.assert_allclose(similarities, similarities2, atol=1e-6)
        mine, theirs = (backend.search(probes).others for backend in (one, other))
        np.testing.assert_allclose(mine.mean, theirs.mean, atol=1e-6)
        np.testing.assert_allclose(mine.variance, theirs.variance, atol=1e-6)
    assert one.people() == other.people()
    assert list(one.people()) == list(other.people())
    assert one.faces_by_person() == other.faces_by_person()
    assert one.count_people() == other.count_people()
    assert one.count_photos() == other.count_photos()
    digests = [f"{number:064x}" for number in range(40)]
    assert one.find_enrolled(digests) == other.find_enrolled(digests)
    everyone = list(one.people())
    assert one.photo_counts([*everyone, "nobody"]) == other.photo_counts([*everyone, "nobody"])
    for asked in (everyone, everyone[::2]):
        mine, others = one.find_duplicates(asked), other.find_duplicates(asked)
        assert {(pair.name, pair.other) for pair in mine} == {(pair.name, pair.other) for pair in others}
    assert equal_data(one.read_data(), other.read_data())
