"""Without the packages of an extra: one line that says which to install, and nothing else needs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from onelook.errors import GalleryError
from onelook.gallery.backend_factory import open_backend
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.gallery.location import MilvusAddress


@pytest.mark.parametrize("package", ["pymilvus", "milvus_lite"])
def test_milvus(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "people.db").mkdir()
    with pytest.raises(GalleryError, match=r"pip install 'onelook\[milvus\]'"):
        open_backend(MilvusAddress(str(tmp_path / "people.db")))


def test_ray(tmp_path: Path, terms: GalleryMetadata, looker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    looker.folder = tmp_path
    gallery = Gallery(FaissBackend(tmp_path / "gallery", empty_gallery(terms)), looker)
    with pytest.raises(GalleryError, match=r"pip install 'onelook\[ray\]'"):
        gallery.enroll_all([EnrollmentItem("Anna", tmp_path / "anna.jpg")], workers=2)


def test_a_folder_needs_neither() -> None:
    program = "import onelook.cli, onelook.gallery.gallery; print({'pymilvus', 'milvus_lite', 'ray'} & {*sys.modules})"
    source = str(Path(__file__).resolve().parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
