"""Exports for other programs."""

import csv
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from onelook.errors import GalleryError, OnelookError
from onelook.face_quality import Quality
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.enrollment_list import read_enrollment_list
from onelook.gallery.export import export_gallery


def test_export_has_a_line_and_an_embedding_per_face(tmp_path: Path, metadata: GalleryMetadata) -> None:
    rows = np.random.default_rng(0).normal(size=(2, metadata.embedding_size)).astype(np.float32)
    quality = Quality(score=0.5, size=1e3, sharpness=10.0)
    entries = (
        EnrolledFace(person='O"Neil, Çağla', photo="a b.jpg", sha256="1" * 64, quality=quality),
        EnrolledFace(person="Bob", photo="b.jpg", sha256="2" * 64),
    )
    export_gallery(tmp_path / "out", GalleryData(metadata, entries, rows))
    with (tmp_path / "out/faces.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [list(line.values()) for line in lines] == [
        ['O"Neil, Çağla', "a b.jpg", "1" * 64, "0.5", "1000.0", "10.0", "0.5"],
        ["Bob", "b.jpg", "2" * 64, "", "", "", "1.0"],
    ]
    with safe_open(tmp_path / "out/embeddings.safetensors", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("embeddings"), rows)
        assert file.metadata() == {"fingerprint": metadata.fingerprint}
    assert [each.name for each in read_enrollment_list(tmp_path / "out/faces.csv")] == ['O"Neil, Çağla', "Bob"]
    with pytest.raises(GalleryError, match="is there already"):
        export_gallery(tmp_path / "out", empty_gallery(metadata))


def test_export_of_an_empty_gallery(tmp_path: Path, metadata: GalleryMetadata) -> None:
    export_gallery(tmp_path / "out", empty_gallery(metadata))
    assert (tmp_path / "out/faces.csv").read_text() == "name,photo,sha256,score,size,sharpness,weight\n"
    with safe_open(tmp_path / "out/embeddings.safetensors", "numpy") as file:
        assert file.get_tensor("embeddings").shape == (0, metadata.embedding_size)


def test_an_export_on_a_full_disk_ends_in_one_line_and_leaves_nothing(
    tmp_path: Path, metadata: GalleryMetadata
) -> None:
    resource = pytest.importorskip("resource")
    rows = np.zeros((1000, metadata.embedding_size), np.float32)
    faces = tuple(EnrolledFace(person="Bob", photo="b.jpg", sha256=f"{i:064x}") for i in range(1000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))  # stands in for a full disk
    try:
        with pytest.raises(OnelookError, match=r"cannot be written .*nothing was changed"):
            export_gallery(tmp_path / "out", GalleryData(metadata, faces, rows))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
