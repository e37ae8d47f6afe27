from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from onelook.data.label_arrays import read_arrays, read_rows
from onelook.data.manifest import Manifest
from onelook.errors import DataError


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest(tmp_path, ())


def test_an_absent_file_gives_none(manifest: Manifest) -> None:
    assert read_arrays(manifest, "a.safetensors", {"a"}) is None
    assert read_rows(manifest, "a.safetensors", "a", 3) is None


def test_written_rows_are_read_back(manifest: Manifest) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    (manifest.root / "a.safetensors").write_bytes(save({"a": rows}))
    read = read_rows(manifest, "a.safetensors", "a", 3)
    assert read is not None and read.dtype == np.float32
    np.testing.assert_array_equal(read, rows)


@pytest.mark.parametrize("data", [b"", b"torn", save({"b": np.zeros(3)}), save({"a": np.zeros(3), "b": np.zeros(3)})])
def test_the_error_names_a_damaged_file_and_the_command_that_remakes_it(manifest: Manifest, data: bytes) -> None:
    (manifest.root / "a.safetensors").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.safetensors: damaged; run `dvc repro -f prepare`"):
        read_arrays(manifest, "a.safetensors", {"a"})


def test_rows_of_other_faces_are_refused(manifest: Manifest) -> None:
    (manifest.root / "a.safetensors").write_bytes(save({"a": np.zeros((4, 2))}))
    with pytest.raises(DataError, match="the manifest has"):
        read_rows(manifest, "a.safetensors", "a", 3)
