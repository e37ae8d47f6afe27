"""Two gloo processes train what one does: the same losses, epoch by epoch, in every form of training."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_dense_training import write_dome
from test_loop import write_scenes
from torch import nn

from helpers import trainings
from onelook.training.sync_batch_norm import SharedBatchNorm, convert_sync_batch_norm

Told = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Told]:
    """The histories of each kind of training and what batch norms say, by the number of processes."""
    root = tmp_path_factory.mktemp("together")
    scenes = write_scenes(root / "scenes")
    write_dome(scenes)
    write_scenes(root / "people", people=5)
    one = trainings.told(scenes, root / "one")
    shutil.copytree(root / "one/left", root / "two/taken")
    two = told_by_two(scenes, root / "two")
    one["histories"]["taken"] = trainings.train(scenes, root / "two/left", trainings.LEFT)
    return {1: one, 2: two}


def told_by_two(scenes: Path, out: Path) -> Told:
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(Path(trainings.__file__)), str(scenes), str(out)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((out / "told.json").read_text())


@pytest.mark.parametrize("kind", trainings.KINDS)
def test_two_processes_have_the_losses_of_one(told: dict[int, Told], kind: str) -> None:
    one, two = (told[processes]["histories"][kind] for processes in (1, 2))
    assert len(one) == len(two) > 0
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, rel=1e-4, abs=1e-4)
        assert any(name.startswith("loss.") and value > 0.01 for name, value in alone.items())


def test_two_processes_go_on_where_they_were_interrupted(told: dict[int, Told]) -> None:
    assert told[2]["histories"]["interrupted"] == told[2]["histories"]["scenes"]


def test_any_number_of_processes_goes_on_from_anothers_checkpoint(told: dict[int, Told]) -> None:
    whole = told[1]["histories"][trainings.LEFT]
    for taken in (told[processes]["histories"]["taken"] for processes in (1, 2)):
        assert taken == [pytest.approx(row, rel=1e-4, abs=1e-4) for row in whole]
        assert len(taken) == 2


def test_split_centers_learn_what_whole_ones_do(told: dict[int, Told]) -> None:
    """Losses, clipped gradients of layer and centers, and the optimizer's memory of them; in float32."""
    one, two = (told[processes]["classifier"] for processes in (1, 2))
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert values["losses"][0] > 0.1 and len(values["identity.centers"]) == 7 * 8
        assert values.keys() == two[name].keys()
        for what in values:
            np.testing.assert_allclose(two[name][what], values[what], rtol=1e-4, atol=1e-5, err_msg=f"{name}, {what}")


def test_batch_norms_know_the_whole_batch_where_a_process_has_none_of_it(told: dict[int, Told]) -> None:
    one, two = (told[processes]["norms"] for processes in (1, 2))
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, atol=2e-6, err_msg=name)


@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm2d, (4, 3, 2, 5))])
def test_a_shared_batch_norm_alone_is_torchs(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    wanted = nn.Sequential(kind(3))
    nn.init.normal_(wanted[0].weight)
    found = copy.deepcopy(wanted)
    convert_sync_batch_norm(found)
    assert isinstance(found[0], SharedBatchNorm) and list(found.state_dict()) == list(wanted.state_dict())
    for mode in (True, True, False):
        rows = torch.randn(shape)
        torch.testing.assert_close(found.train(mode)(rows), wanted.train(mode)(rows))
    for name, value in wanted.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value)
