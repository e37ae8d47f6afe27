import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.cli_workspace import save_calibration, save_small_model
from helpers.command_line import orl_image
from onelook.data.image_io import write_image
from onelook.model.model_folder import RELEASED

_IDENTIFY_IN_FORKED_CHILDREN = """
import multiprocessing, sys
from pathlib import Path
import numpy as np
import onelook
import torch
from onelook.settings import DetectSettings

torch.set_num_threads(2)
predictor = onelook.load_torch_predictor(Path(sys.argv[1]))
image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
found = predictor.predict([image], DetectSettings())[0]  # starts OpenMP's threads

def look(_):
    return len(predictor.predict([image], DetectSettings())[0]), torch.get_num_threads()

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(set(pool.map_async(look, range(4)).get(60)) == {(len(found), 1)}, torch.get_num_threads())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_forked_children_look_with_one_thread_instead_of_waiting_for_ever() -> None:
    command = [sys.executable, "-c", _IDENTIFY_IN_FORKED_CHILDREN, str(RELEASED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "True 2\n", done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_one_gallery_serves_threads_and_pools_before_and_after_the_first_prediction(
    tmp_path: Path, method: str
) -> None:
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("the system has no fork")
    save_small_model(tmp_path / "build/model", seed=5)
    save_calibration(tmp_path)
    for person in (1, 2, 3, 4):
        write_image(tmp_path / f"s{person}.png", orl_image(person, 1))
    program = Path(__file__).parent / "helpers/pool_program.py"
    command = [sys.executable, str(program), method, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    lines = [
        "before ['One']",
        "threads [1, 1] ['One']",
        "pool [1, 1] ['One', 'Two', 'Three']",
        "people ['Four', 'One', 'Three', 'Two']",
    ]
    assert done.stdout.splitlines() == lines[method == "spawn" :], done.stderr
