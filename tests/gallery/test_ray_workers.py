"""Photos looked at by two processes: the same rows in the same order, and the same report."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.image_io import read_image, write_image
from onelook.data.readers.orl import read_orl
from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.data import Entry
from onelook.gallery.enrollment_list import EnrollmentItem, read_enrollment_list
from onelook.gallery.gallery import create_gallery
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.pretrained import build_pretrained

pytest.importorskip("ray", reason="needs Ray: pip install 'onelook[ray]'")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people with two photos each, large enough to enroll; and photos that cannot be used."""
    folder = tmp_path_factory.mktemp("workers") / "people"
    for portrait in read_orl().portraits[:120]:
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


def test_two_workers_go_on_with_the_same_rows_and_report_the_same(
    tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2] / "src"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    alone, helped = (create_gallery(tmp_path / name) for name in ("alone", "helped"))
    named = read_enrollment_list(people)
    first = alone.enroll_all(named)
    assert (first.added, first.known, len(first.left_out)) == (24, 1, 4)
    before = helped.enroll_all(named[:5])
    second = helped.enroll_all(named, workers=2)
    assert second.added + before.added == first.added
    assert second.known == before.added + first.known
    assert (second.left_out, second.missing) == (first.left_out, first.missing)
    one, other = (storage.read(gallery.folder) for gallery in (alone, helped))
    assert [told(entry) for entry in other.entries] == [told(entry) for entry in one.entries]
    np.testing.assert_allclose(other.embeddings, one.embeddings, atol=1e-5)
    for a, b in zip(one.entries, other.entries, strict=True):
        assert a.quality is not None and b.quality is not None
        assert b.quality.model_dump() == pytest.approx(a.quality.model_dump(), rel=1e-4)


def test_a_model_that_came_from_no_folder_is_refused(tmp_path: Path, people: Path) -> None:
    gallery = create_gallery(tmp_path / "gallery")
    gallery._looker = TorchPredictor(build_pretrained(gallery._looker.network.settings), gallery._looker.fingerprint)
    with pytest.raises(GalleryError, match="came from none"):
        gallery.enroll_all([EnrollmentItem("Anna", people / "orl-s1" / "1.png")], workers=2)


def told(entry: Entry) -> tuple[str, str, str]:
    return entry.person, entry.photo, entry.sha256
