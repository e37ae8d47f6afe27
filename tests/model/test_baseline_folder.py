"""The folder of a trained baseline: read as it was written, found by name, and refused where it is damaged."""

from pathlib import Path

import pytest
import torch

from onelook.errors import ModelError
from onelook.model.baseline_folder import DESCRIPTION, find_baselines, load_baseline, save_baseline
from onelook.model.model_folder import WEIGHTS
from onelook.model.mtcnn import Mtcnn


def test_a_saved_baseline_is_found_and_loaded(tmp_path: Path) -> None:
    network = Mtcnn()
    save_baseline(tmp_path / "mtcnn", "mtcnn", 8, network)
    before = (tmp_path / "mtcnn" / WEIGHTS).read_bytes()
    save_baseline(tmp_path / "mtcnn", "mtcnn", 8, network)
    assert (tmp_path / "mtcnn" / WEIGHTS).read_bytes() == before
    (tmp_path / "mobilefacenet").mkdir()  # without a description
    assert find_baselines(tmp_path) == {"mtcnn": tmp_path / "mtcnn"} and find_baselines(tmp_path / "none") == {}
    loaded = load_baseline(tmp_path / "mtcnn")
    assert not loaded.training
    for value, expected in zip(loaded.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(value, expected)


@pytest.mark.parametrize("file", [DESCRIPTION, WEIGHTS])
@pytest.mark.parametrize("content", [None, b"{}", b"[" * 10_000])
def test_a_missing_or_damaged_file_is_reported_in_one_line(file: str, content: bytes | None, tmp_path: Path) -> None:
    save_baseline(tmp_path / "mtcnn", "mtcnn", 8, Mtcnn())
    path = tmp_path / "mtcnn" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="run `dvc repro -f baselines`") as caught:
        load_baseline(tmp_path / "mtcnn")
    assert "\n" not in str(caught.value)
