"""Time training with one and two processes.

Images per second, and time spent waiting for the loader.

    python benchmarks/training_processes.py [--scenes build/scenes] [--batch 12] [--steps 4] [--rounds 5]

The training of params.yaml. Two processes divide each batch, with a thread each; one process has a thread, or two. The
forms take turns; medians are over the turns; waiting is that of rank 0. Prints a Markdown table.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track
from training_throughput import Ours

from onelook.data.manifest import read_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.distributed import process_group, rank
from onelook.model.pretrained import build_pretrained
from onelook.reproducibility import seed_everything
from onelook.settings import Settings, load_settings

FORMS = ((1, 1), (1, 2), (2, 1))  # processes, threads of each


def main() -> None:
    """Time the forms in turns and print the table.

    Under torchrun, train and write the timing.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=Path("build/scenes"), help="folder that prepare wrote")
    parser.add_argument("--batch", type=int, default=12, help="scenes in a batch")
    parser.add_argument("--steps", type=int, default=4, help="timed in a turn, after as many to warm up")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each form")
    parser.add_argument("--threads", type=int, default=0, help="of a process that trains; for the benchmark's own use")
    parser.add_argument("--out", type=Path, help="where it writes; for the benchmark's own use")
    arguments = parser.parse_args()
    if arguments.threads:
        train(arguments)
        return
    turns = [form for _ in range(arguments.rounds) for form in FORMS]
    paces: dict[tuple[int, int], list[dict[str, float]]] = {form: [] for form in FORMS}
    for form in track(turns, description="training", console=Console(stderr=True)):
        paces[form].append(turn(*form))
    print("| processes | threads of each | images/s | waiting for the loader |\n|---|---|---|---|")
    for (processes, threads), each in paces.items():
        images, waiting = (statistics.median(pace[name] for pace in each) for name in ("images", "waiting"))
        print(f"| {processes} | {threads} | {images:.2f} | {waiting:.1%} |")


def turn(processes: int, threads: int) -> dict[str, float]:
    """Train in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pace.json"
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        subprocess.run(
            [sys.executable, *torchrun, *sys.argv, "--threads", str(threads), "--out", str(out)],
            env={**os.environ, "TORCH_CPP_LOG_LEVEL": "ERROR"},
            check=True,
        )
        pace: dict[str, float] = json.loads(out.read_text())
        return pace


def train(arguments: argparse.Namespace) -> None:
    """Time some steps as one of the processes; rank 0 writes the pace."""
    tree = load_settings(Path("params.yaml")).model_dump()
    tree["base"]["threads"] = arguments.threads
    tree["train"]["batch"] = arguments.batch
    settings = Settings.model_validate(tree)
    seed_everything(settings.base)
    with process_group():
        scenes = SceneDataset(read_manifest(arguments.scenes), settings.train.augment, settings.base.seed)
        ours = Ours(build_pretrained(settings.model), scenes, settings, arguments.steps)
        ours.turn(0)
        pace = ours.turn(1)
        if rank() == 0:
            arguments.out.write_text(json.dumps(pace._asdict()))


if __name__ == "__main__":
    main()
