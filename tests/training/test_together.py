"""Two gloo processes train what one does: the same losses, epoch by epoch, in every form of training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_dense_training import write_dome
from test_loop import write_scenes
from trainings import KINDS

History = list[dict[str, float]]


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, History]]:
    """Of each kind of training, by the number of processes."""
    root = tmp_path_factory.mktemp("together")
    scenes = write_scenes(root / "scenes")
    write_dome(scenes)
    return {processes: run(scenes, root / str(processes), processes) for processes in (1, 2)}


def run(scenes: Path, out: Path, processes: int) -> dict[str, History]:
    out.mkdir()
    program = [str(Path(__file__).with_name("trainings.py")), str(scenes), str(out)]
    torchrun = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    )
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *torchrun, *program],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((out / "histories.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_have_the_losses_of_one(histories: dict[int, dict[str, History]], kind: str) -> None:
    one, two = histories[1][kind], histories[2][kind]
    assert len(one) == len(two) > 0
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, rel=1e-4, abs=1e-4)
        assert any(name.startswith("loss.") and value > 0.01 for name, value in alone.items())


def test_two_processes_go_on_where_they_were_interrupted(histories: dict[int, dict[str, History]]) -> None:
    assert histories[2]["interrupted"] == histories[2]["scenes"]
