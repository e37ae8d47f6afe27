"""Optional packages: a missing extra is reported in one line, and a gallery folder needs none."""

import subprocess
import sys
from pathlib import Path

import pytest

from onelook.errors import GalleryError
from onelook.gallery.backend_factory import open_backend
from onelook.gallery.location import MilvusAddress


@pytest.mark.parametrize("package", ["pymilvus", "milvus_lite"])
def test_missing_milvus_packages_are_reported(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "people.db").mkdir()
    with pytest.raises(GalleryError, match=r"pip install 'onelook\[milvus\]'"):
        open_backend(MilvusAddress(str(tmp_path / "people.db")))


def test_a_gallery_folder_needs_neither_milvus_nor_ray() -> None:
    program = "import onelook.cli, onelook.gallery.gallery; print({'pymilvus', 'milvus_lite', 'ray'} & {*sys.modules})"
    source = str(Path(__file__).resolve().parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
