"""Enrollment with workers where Ray is not installed."""

import sys
from pathlib import Path

import pytest

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery


def test_missing_ray_package_is_reported(
    tmp_path: Path, metadata: GalleryMetadata, predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    predictor.source = tmp_path
    gallery = Gallery(FaissBackend(tmp_path / "gallery", metadata), predictor)
    with pytest.raises(GalleryError, match=r"pip install 'onelook\[ray\]'"):
        gallery.enroll_all([EnrollmentItem("Anna", tmp_path / "anna.jpg")], workers=2)
