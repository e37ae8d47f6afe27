"""What other programs read of a gallery."""

import csv
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from onelook.errors import GalleryError
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.enrollment_list import read_enrollment_list
from onelook.gallery.export import export
from onelook.gallery.face_quality import Quality


def test_a_line_and_a_row_for_every_photo(tmp_path: Path, terms: GalleryMetadata) -> None:
    rows = np.random.default_rng(0).normal(size=(2, terms.embedding_size)).astype(np.float32)
    quality = Quality(score=0.5, size=1e3, sharpness=10.0)
    entries = (
        Entry(person='O"Neil, Çağla', photo="a b.jpg", sha256="1" * 64, quality=quality),
        Entry(person="Bob", photo="b.jpg", sha256="2" * 64),
    )
    export(tmp_path / "out", GalleryData(terms, entries, rows))
    with (tmp_path / "out/faces.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [list(line.values()) for line in lines] == [
        ['O"Neil, Çağla', "a b.jpg", "1" * 64, "0.5", "1000.0", "10.0", "0.5"],
        ["Bob", "b.jpg", "2" * 64, "", "", "", "1.0"],
    ]
    with safe_open(tmp_path / "out/embeddings.safetensors", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("embeddings"), rows)
        assert file.metadata() == {"fingerprint": terms.fingerprint}
    assert [each.name for each in read_enrollment_list(tmp_path / "out/faces.csv")] == ['O"Neil, Çağla', "Bob"]
    with pytest.raises(GalleryError, match="is there already"):
        export(tmp_path / "out", empty_gallery(terms))


def test_an_empty_gallery_has_a_head_and_no_line(tmp_path: Path, terms: GalleryMetadata) -> None:
    export(tmp_path / "out", empty_gallery(terms))
    assert (tmp_path / "out/faces.csv").read_text() == "name,photo,sha256,score,size,sharpness,weight\n"
    with safe_open(tmp_path / "out/embeddings.safetensors", "numpy") as file:
        assert file.get_tensor("embeddings").shape == (0, terms.embedding_size)
