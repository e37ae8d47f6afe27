"""Train on one face a photo and on several composed into one, with equally many faces in all and in a step.

    python benchmarks/faces_per_photo.py --data ../shared/data [--jobs 2] [--out build/faces_per_photo]

Both are short joint trainings, repeated three times. Missing trainings run as DVC experiments. Both are measured on
LFW's development test pairs (people in no training, end to end from the full photo) and on 103 WIDER FACE photos. The
table in docs/hypothesis.md is rewritten.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from dvc_experiments import Kind, fetch_model, format_commands, run_experiments
from study_metrics import Bench, Figures
from study_settings import common

from onelook.evaluation.bootstrap import paired_difference
from onelook.files import write_json
from onelook.inference.loading import load_torch_predictor

REPEATS = 3
DOCUMENT = Path("docs/hypothesis.md")
BEGIN, END = "<!-- made by benchmarks/faces_per_photo.py -->", "<!-- end of faces_per_photo.py -->"
COLUMNS = {"accuracy": "LFW accuracy", "tar": "TAR at 1 % FAR", "wider_ap": "WIDER AP .5"}
SEVERAL, ONE = "both", "one-face-a-photo"
ROWS = {SEVERAL: "several faces per photo", ONE: "one face per photo"}


def kinds(data: Path) -> dict[str, Kind]:
    """Return both kinds of training.

    With one face a photo, photos and crops are smaller and a batch holds more of them, so that faces in all, faces in
    a step and steps are equal.
    """
    single = (
        "prepare.compose.faces_per_scene=[1,1]",
        "prepare.compose.train=4050",
        "prepare.compose.width=256",
        "prepare.compose.height=256",
        "train.batch_size=54",
        "train.augment.crop_size=192",
    )
    return {name: Kind(name, common(data), own, REPEATS) for name, own in ((SEVERAL, ()), (ONE, single))}


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/, widerface/ and weights/")
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/faces_per_photo"), help="models and metrics")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    trained = kinds(arguments.data)
    run_experiments(list(trained.values()), arguments.jobs)
    bench, folder = Bench(arguments.data), arguments.out / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, list[Figures]] = {}
    for name, kind in trained.items():
        for repeat in range(REPEATS):
            model = fetch_model(kind.experiment(repeat), arguments.out / "models")
            place = folder / f"{model.name}.json"
            if not place.exists():
                write_json(place, bench.measure(load_torch_predictor(model)))
            metrics.setdefault(name, []).append(json.loads(place.read_text(encoding="utf-8")))
    text = f"{write_table(metrics)}\n\n{format_commands(trained)}"
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    print(text)


def write_table(metrics: Mapping[str, Sequence[Figures]]) -> str:
    """Return a row a kind, the mean with the lowest and highest repeat, and the differences in points."""
    lines = [f"| trained on | {' | '.join(COLUMNS.values())} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name, told in ROWS.items():
        values = [[row[column] for row in metrics[name]] for column in COLUMNS]
        cells = [f"{np.mean(each):.4f} [{min(each):.4f}, {max(each):.4f}]" for each in values]
        lines.append(f"| {told} | {' | '.join(cells)} |")
    cells = []
    for column in COLUMNS:
        difference = paired_difference(*([row[column] for row in metrics[name]] for name in ROWS))
        mean, low, high = (100 * each for each in difference)
        cells.append(f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]")
    lines.append(f"| several − one, points | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
