"""A gallery in milvus-lite beside a folder with the same rows, and what both say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onelook.gallery.backend import GalleryBackend
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.enrollment import Rows
from onelook.gallery.face_quality import Quality
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.backend import MilvusBackend
from onelook.settings import DetectSettings

SIZE = 8
TERMS = GalleryMetadata(
    fingerprint="a" * 64,
    embedding_size=SIZE,
    threshold=0.6,
    target_fpir=0.01,
    detect=DetectSettings(score=0.5, nms=0.4, longest_side=640),
    managed=False,
)


def rows_of(names: Sequence[str], start: int = 0) -> Rows:
    """A row for each name, of the photos numbered from `start`; a number always has the same embedding and quality."""
    entries, embeddings = [], []
    for number, name in enumerate(names, start):
        rng = np.random.default_rng(number)
        row = rng.normal(size=SIZE)
        quality = Quality(score=float(rng.random()), size=float(30 + 40 * rng.random()), sharpness=float(rng.random()))
        digest = f"{number:064x}"
        entries.append(Entry(person=name, photo=f"{number}.jpg", sha256=digest, quality=quality))
        embeddings.append(row / np.linalg.norm(row))
    return Rows(tuple(entries), np.asarray(embeddings, np.float32).reshape(len(names), SIZE))


def engines(folder: Path, database: Path) -> tuple[FaissBackend, MilvusBackend]:
    """Both without anybody; a test may name as many galleries of one database as it likes."""
    return FaissBackend(folder, empty_gallery(TERMS)), MilvusBackend(MilvusAddress(str(database), folder.name), TERMS)


def same_contents(one: GalleryData, other: GalleryData) -> bool:
    """Whether terms, entries, their order and every bit of the embeddings are the same."""
    return (
        one.terms == other.terms
        and one.entries == other.entries
        and one.embeddings.tobytes() == other.embeddings.tobytes()
    )


def answers(engine: GalleryBackend, probes: np.ndarray) -> tuple[list[list[str]], np.ndarray, int]:
    """The two nearest people of each probe, their similarities, and how many people there are."""
    found = engine.search(probes)
    names = [[found.names[place] if place >= 0 else "" for place in places] for places in found.ranking.places]
    return names, found.ranking.similarities, found.people


def check_same_answers(one: GalleryBackend, other: GalleryBackend) -> None:
    """Everything that can be asked has the same answer."""
    probes = np.random.default_rng(99).normal(size=(20, SIZE)).astype(np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    (names, similarities, people), (names2, similarities2, people2) = answers(one, probes), answers(other, probes)
    assert people == people2
    if people:
        assert names == names2
        np.testing.assert_allclose(similarities, similarities2, atol=1e-6)
    assert one.people() == other.people()
    assert list(one.people()) == list(other.people())
    assert one.entries() == other.entries()
    assert one.count_people() == other.count_people()
    assert one.count_photos() == other.count_photos()
    digests = [f"{number:064x}" for number in range(40)]
    assert one.owners(digests) == other.owners(digests)
    everyone = list(one.people())
    assert one.known([*everyone, "nobody"]) == other.known([*everyone, "nobody"])
    for asked in (everyone, everyone[::2]):
        mine, others = one.find_duplicates(asked), other.find_duplicates(asked)
        assert {(pair.name, pair.other) for pair in mine} == {(pair.name, pair.other) for pair in others}
    assert same_contents(one.contents(), other.contents())
