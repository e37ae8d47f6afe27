"""Enrollment with Ray workers: equal faces in equal order, and an equal report."""

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.image_io import read_image, write_image
from onelook.data.readers.orl import read_orl
from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.backend_factory import create_backend
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.data import EnrolledFace
from onelook.gallery.enrollment_list import EnrollmentItem, read_enrollment_list
from onelook.gallery.gallery import Gallery, create_gallery
from onelook.gallery.ray_workers import gpus_per_worker
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.model.pretrained import build_pretrained

pytest.importorskip("ray", reason="needs Ray: pip install 'onelook[ray]'")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people with two photos each, large enough to enroll; and photos that cannot be used."""
    folder = tmp_path_factory.mktemp("workers") / "people"
    for portrait in read_orl().images[:120]:
        number = int(portrait.path.stem)
        if number <= 2:
            large = cv2.resize(read_image(portrait.path), None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
            framed = cv2.copyMakeBorder(large, 60, 60, 60, 60, cv2.BORDER_REPLICATE)
            write_image(folder / portrait.identity / f"{number}.png", framed)
    copied = folder / "orl-s1" / "copy.png"
    copied.write_bytes((folder / "orl-s1" / "1.png").read_bytes())
    (folder / "orl-s2" / "taken.png").write_bytes((folder / "orl-s1" / "1.png").read_bytes())
    (folder / "orl-s3" / "empty.png").write_bytes(b"")
    write_image(folder / "orl-s4" / "nobody.png", np.full((100, 100, 3), 128, np.uint8))
    (folder / os.fsdecode(b"orl-s5/odd\xff.jpg")).write_bytes((folder / "orl-s5" / "1.png").read_bytes()[:99])
    return folder


def test_two_workers_resume_with_the_same_faces_and_report(
    tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2] / "src"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    alone, helped = (create_gallery(tmp_path / name) for name in ("alone", "helped"))
    named = read_enrollment_list(people)
    first = alone.enroll_all(named)
    assert (first.added, first.already_enrolled, len(first.skipped)) == (24, 1, 4)
    before = helped.enroll_all(named[:5])
    temporary = Path(tempfile.mkdtemp(prefix="r"))  # short, since the names of Ray's sockets are limited
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    second = helped.enroll_all(named, workers=2)
    assert list(temporary.iterdir()) == []
    temporary.rmdir()
    assert second.added + before.added == first.added
    assert second.already_enrolled == before.added + first.already_enrolled
    assert (second.skipped, second.missing_people) == (first.skipped, first.missing_people)
    one, other = (storage.read(gallery.location) for gallery in (alone, helped))
    assert [source_of(face) for face in other.faces] == [source_of(face) for face in one.faces]
    np.testing.assert_allclose(other.embeddings, one.embeddings, atol=1e-5)
    for a, b in zip(one.faces, other.faces, strict=True):
        assert a.quality is not None and b.quality is not None
        assert b.quality.model_dump() == pytest.approx(a.quality.model_dump(), rel=1e-4)


@pytest.mark.parametrize(
    ("workers", "device", "cards", "expected"),
    [
        (2, "auto", 0, 0),
        (2, "cpu", 4, 0),
        (2, "mps", 0, 0),
        (3, "auto", 1, 0.3333),
        (4, "cuda:1", 2, 0.5),
        (2, "cuda", 8, 1),
    ],
)
def test_workers_share_the_cards(workers: int, device: str, cards: float, expected: float) -> None:
    assert gpus_per_worker(workers, device, cards) == expected


def test_a_model_without_a_source_folder_is_refused(tmp_path: Path, people: Path) -> None:
    released = load_torch_predictor(RELEASED)
    in_memory = TorchPredictor(build_pretrained(released.network.settings), released.fingerprint)
    metadata = read_calibrated_metadata(
        RELEASED / "calibration.json", in_memory.fingerprint, in_memory.embedding_size, managed=False
    )
    gallery = Gallery(create_backend(tmp_path / "gallery", metadata), in_memory)
    with pytest.raises(GalleryError, match="came from none"):
        gallery.enroll_all([EnrollmentItem("Anna", people / "orl-s1" / "1.png")], workers=2)


def source_of(face: EnrolledFace) -> tuple[str, str, str]:
    return face.person, face.photo, face.sha256
