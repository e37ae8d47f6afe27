"""Two gloo processes train what one does: the same losses in every epoch, for every kind of training."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import distributed_program as program
from helpers.painted_scenes import write_dome_model, write_painted_scenes

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Results]:
    """The results of the program, by the number of processes."""
    root = tmp_path_factory.mktemp("distributed")
    scenes = write_painted_scenes(root / "scenes")
    write_dome_model(scenes)
    write_painted_scenes(root / "people", people=5)
    one = program.run(scenes, root / "one")
    shutil.copytree(root / "one/left", root / "two/taken")
    two = run_in_two_processes(scenes, root / "two")
    one["histories"]["taken"] = program.train(scenes, root / "two/left", program.SHARDED)
    return {1: one, 2: two}


def run_in_two_processes(scenes: Path, out: Path) -> Results:
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(Path(program.__file__)), str(scenes), str(out)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((out / "results.json").read_text())


@pytest.mark.parametrize("name", program.SETTINGS)
def test_two_processes_have_the_losses_of_one(results: dict[int, Results], name: str) -> None:
    one, two = (results[processes]["histories"][name] for processes in (1, 2))
    assert len(one) == len(two) > 0
    for row, distributed_row in zip(one, two, strict=True):
        assert distributed_row == pytest.approx(row, rel=1e-4, abs=1e-4)
        assert any(key.startswith("loss.") and value > 0.01 for key, value in row.items())


def test_processes_that_normalize_their_own_shards_have_similar_losses(results: dict[int, Results]) -> None:
    one, two = (results[processes]["histories"][program.UNSYNCED] for processes in (1, 2))
    assert one == results[1]["histories"]["faces and scenes"]
    for row, distributed_row in zip(one, two, strict=True):
        assert distributed_row != pytest.approx(row, rel=1e-4, abs=1e-4)
        # Each process normalizes over one or two faces, so the losses agree only in size.
        assert 0.5 < distributed_row["loss.identity"] / row["loss.identity"] < 2


def test_two_processes_resume_to_the_same_bits(results: dict[int, Results]) -> None:
    assert results[2]["histories"]["interrupted"] == results[2]["histories"]["scenes"]


def test_a_checkpoint_is_resumed_by_another_number_of_processes(results: dict[int, Results]) -> None:
    uninterrupted = results[1]["histories"][program.SHARDED]
    for resumed in (results[processes]["histories"]["taken"] for processes in (1, 2)):
        assert resumed == [pytest.approx(row, rel=1e-4, abs=1e-4) for row in uninterrupted]
        assert len(resumed) == 2


def test_sharded_centers_train_as_unsharded_ones(results: dict[int, Results]) -> None:
    """Losses, parameters after steps with clipped gradients, and the optimizer's moments, in float32."""
    one, two = (results[processes]["classifier"] for processes in (1, 2))
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert values["losses"][0] > 0.1 and len(values["identity_loss.centers"]) == 7 * 8
        assert values.keys() == two[name].keys()
        for key in values:
            np.testing.assert_allclose(two[name][key], values[key], rtol=1e-4, atol=1e-5, err_msg=f"{name}, {key}")


def test_sync_batch_norm_normalizes_over_all_processes_and_accepts_an_empty_shard(results: dict[int, Results]) -> None:
    one, two = (results[processes]["batch_norm"] for processes in (1, 2))
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, atol=2e-6, err_msg=name)
