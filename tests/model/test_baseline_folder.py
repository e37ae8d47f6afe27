"""The folder of a trained baseline: read as it was written, found by name, and refused where it is damaged."""

import json
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


@pytest.mark.parametrize("dim", [-1, 0, 2**31, 2**63, 8.5, "8", None])
def test_an_odd_length_of_an_embedding_is_refused_before_a_network_is_built(dim: object, tmp_path: Path) -> None:
    save_baseline(tmp_path / "mtcnn", "mtcnn", 8, Mtcnn())
    description = json.loads((tmp_path / "mtcnn" / DESCRIPTION).read_bytes())
    description |= {"baseline": "mobilefacenet", "embedding_dim": dim}
    (tmp_path / "mtcnn" / DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(ModelError, match="embedding_dim is not a number from 1 to 1024"):
        load_baseline(tmp_path / "mtcnn")


def test_weights_of_another_network_are_refused_in_a_short_line(tmp_path: Path) -> None:
    save_baseline(tmp_path / "mtcnn", "mobilefacenet", 8, Mtcnn())
    with pytest.raises(ModelError, match="Missing key") as caught:
        load_baseline(tmp_path / "mtcnn")
    assert len(str(caught.value)) < 500
