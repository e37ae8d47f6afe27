"""Run the four experiments of the joint grid detector's thesis on CelebA's people.

    python benchmarks/grid_study.py --data ../shared/data [--jobs 2] [--out build/grid_study]

1. Joint training against detection alone and recognition alone, on one face a photo and a closed set of people.
2. The last layer as an embedding of people whom no training saw.
3. Four photos glued into one.
4. A decoder with skip connections: grids of 5, 11 and 19 cells against 5 alone.

Every variant is trained with six seeds, one thread each. Finished trainings are not repeated; an interrupted one
continues where it stopped. The tables in docs/grid_study.md are rewritten and docs/pictures/grid_study.png drawn.
"""

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from grid_data import ClosedSet, describe, people_of, read_closed_set, read_mosaics
from grid_embeddings import eigenface_embeddings, released_embeddings, unseen_intervals, untrained_embeddings
from grid_evaluation import Predictions, predict, read_photo_set
from grid_metrics import Found, Interval
from grid_report import Results, draw, write_tables
from grid_training import Training, Variant, load_training, train
from rich.console import Console
from rich.progress import track

from onelook.data.manifest import Manifest, Split
from onelook.evaluation.plots import save_figure

SEEDS = 6
DOCUMENT = Path("docs/grid_study.md")
PICTURE = Path("docs/pictures/grid_study.png")
CAPTION = "Accuracy during the trainings, and accuracy and box IoU of each seed, joint and separate"
BEGIN, END = "<!-- made by benchmarks/grid_study.py -->", "<!-- end -->"
VARIANTS = {
    "joint": Variant("joint", False, {}),
    "detection": Variant("detection alone", False, {"train.tasks": "detection"}),
    "recognition": Variant("recognition alone", False, {"train.tasks": "recognition"}),
    "mosaics": Variant("joint, on mosaics", True, {}),
    "decoder": Variant("joint, on mosaics, with the decoder", True, {"model.grid.scales": (5, 11, 19)}),
}


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces/celeba/")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/grid_study"), help="mosaics, models and predictions")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = read_closed_set(arguments.data / "faces/celeba")
    for split in ("train", "validation", "test"):
        mosaics(known, split, arguments.out)
    trainings = [Training(name, variant, seed) for seed in range(SEEDS) for name, variant in VARIANTS.items()]
    run_all(trainings, arguments.data, arguments.out, arguments.jobs)
    results = measure_all(trainings, known, arguments.out)
    tables = write_tables(results, describe(known), unseen_metrics(results, known))
    text = f"![{CAPTION}](pictures/{PICTURE.name})\n\n{tables}"
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    save_figure(PICTURE, draw(results))
    print(text)


def mosaics(known: ClosedSet, split: Split, out: Path) -> Manifest:
    """Return the mosaics of a split of the known people."""
    photos: Manifest = getattr(known, split)
    return read_mosaics(out / "mosaics" / split, photos, split)


def run_all(trainings: Sequence[Training], data: Path, out: Path, jobs: int) -> None:
    """Run the trainings that are not finished."""
    missing = [each for each in trainings if not each.folder(out).exists()]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        finished: Iterable[None] = pool.map(partial(run, data=data, out=out), missing)
        for _ in track(finished, total=len(missing), description="training", console=Console(stderr=True)):
            pass


def run(training: Training, data: Path, out: Path) -> None:
    """Run a training in this process."""
    known = read_closed_set(data / "faces/celeba")
    if training.variant.mosaics:
        train(training, mosaics(known, "train", out), mosaics(known, "validation", out), out)
    else:
        train(training, known.train, known.validation, out)


def measure_all(trainings: Sequence[Training], known: ClosedSet, out: Path) -> Results:
    """Predict all photo sets by all trainings, each once."""
    names = people_of(known.train)
    sets = {
        "test": read_photo_set(known.test, names),
        "mosaics": read_photo_set(mosaics(known, "test", out), names),
        "unseen": read_photo_set(known.unseen, people_of(known.unseen)),
    }
    predictions: dict[tuple[str, str], list[Predictions]] = {}
    # In VARIANTS recognition alone comes after detection alone, which finds the faces for it.
    for training in track(trainings, description="measuring", console=Console(stderr=True)):
        for name, photos in sets.items():
            path = training.folder(out) / f"{name}.npz"
            if not path.exists():
                network, centers = load_training(path.parent)
                found = None
                if training.name == "recognition":
                    detected = predictions["detection", name][training.seed]
                    found = Found(detected.ious, detected.landmarks)
                classes = centers[:0, :0] if name == "unseen" else centers
                predict(network, classes, photos, found).save(path)
            predictions.setdefault((training.name, name), []).append(Predictions.load(path))
    return Results(out, VARIANTS, trainings, sets, predictions)


def unseen_metrics(results: Results, known: ClosedSet) -> dict[str, dict[str, Interval]]:
    """Return metrics of embeddings of the unseen people by system."""
    photos = results.sets["unseen"]
    systems = {name: results.stack(name, "unseen", "embeddings") for name in ("joint", "recognition")}
    settings = [each.settings for each in results.trainings if each.name == "joint"]
    systems["untrained"] = np.stack([untrained_embeddings(each, photos) for each in settings])
    systems["eigenfaces"] = eigenface_embeddings(known)[None]
    systems["released"] = released_embeddings(photos)[None]
    return unseen_intervals(systems, photos.labels.people)


if __name__ == "__main__":
    main()
