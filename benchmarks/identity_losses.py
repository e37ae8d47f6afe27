"""Compare the identity losses: the same recognizer trained with each, from names alone.

    python benchmarks/identity_losses.py --data ../shared/data [--jobs 2] [--out build/identity_losses]

The recognizer is two layers on the frozen detector's maps of aligned crops (`identity_loss_training.py`); there is no
teacher. It trains on LFW's training people (many, of few photos) and on CelebA's (few, of ten photos), three times
each, and is measured on LFW's development test pairs, whose people train nothing. The learning rate of each loss is
the one of three with the best TAR on CelebA's people after a short training on LFW's. Finished trainings are not
repeated. The tables in docs/identity_losses.md are rewritten and docs/pictures/identity_losses.png drawn.
"""

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import torch
from identity_loss_data import Features, read_features
from identity_loss_report import Results, draw, write_tables
from identity_loss_training import Training, Variant, train
from pair_metrics import Pairs
from recognition_pairs import read_lfw_pairs
from rich.console import Console
from rich.progress import track

from onelook.evaluation.plots import save_figure

REPEATS, STEPS, SHORT = 3, 480, 120
RATES = (0.0005, 0.002, 0.008)
DOCUMENT = Path("docs/identity_losses.md")
PICTURE = Path("docs/pictures/identity_losses.png")
BEGIN, END = "<!-- made by benchmarks/identity_losses.py -->", "<!-- end -->"

LOSSES = {
    "softmax": Variant("softmax", {"loss": "softmax"}),
    "normalized": Variant("normalized softmax", {"loss": "normalized"}),
    "triplet": Variant("triplet, semi-hard", {"loss": "triplet"}),
    "center": Variant("softmax and center", {"loss": "center"}),
    "sphereface": Variant("SphereFace", {"loss": "sphereface"}),
    "cosface": Variant("CosFace", {"loss": "cosface"}),
    "arcface": Variant("ArcFace", {"loss": "arcface"}),
    "combined": Variant("combined margin", {"loss": "combined"}),
    "oim": Variant("OIM", {"loss": "oim"}),
}
"""The losses with the defaults of `params.yaml`."""
SPHEREFACE_4 = {"loss": "sphereface", "sphereface": {"margin": 4}}
OTHERS = {
    "softmax-free": Variant("softmax, embeddings of any length", {"loss": "softmax"}, normalize=False),
    "center-free": Variant("softmax and center, embeddings of any length", {"loss": "center"}, normalize=False),
    "sphereface-4": Variant("SphereFace, m = 4", SPHEREFACE_4),
    "sphereface-4-annealed": Variant("SphereFace, m from 1 to 4", SPHEREFACE_4, annealed=True),
    "cosface-64": Variant("CosFace, s = 64", {"loss": "cosface", "scale": 64}),
    "arcface-64": Variant("ArcFace, m = 0.5, s = 64", {"loss": "arcface", "scale": 64, "arcface": {"margin": 0.5}}),
}
"""Their other forms and the papers' values, on LFW's people alone."""
VARIANTS = LOSSES | OTHERS


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/ and faces/celeba/")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/identity_losses"), help="crops, features and results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    features = read_features(arguments.data, arguments.out)
    tuning = [Training(name, "lfw", SHORT, rate, 0) for name in VARIANTS for rate in RATES]
    run_all(tuning, arguments.data, arguments.out, arguments.jobs)
    results = Results(arguments.out, VARIANTS, tuning, read_lfw_pairs(arguments.data / "lfw", None)[1])
    trainings = final_trainings(results)
    run_all(trainings, arguments.data, arguments.out, arguments.jobs)
    text = write_tables(results, trainings, features)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    save_figure(PICTURE, draw(results, trainings, list(LOSSES)))
    print(text)


def final_trainings(results: Results) -> list[Training]:
    """Return the trainings of the tables, each with the best learning rate of its loss."""
    kinds = [(LOSSES, "lfw", STEPS), (LOSSES, "lfw", SHORT), (LOSSES, "celeba", STEPS), (OTHERS, "lfw", STEPS)]
    return [
        Training(name, people, steps, results.best_rate(name), repeat)
        for variants, people, steps in kinds
        for repeat in range(REPEATS)
        for name in variants
    ]


def run_all(trainings: Sequence[Training], data: Path, folder: Path, jobs: int) -> None:
    """Run the trainings that are not finished."""
    missing = [each for each in trainings if not each.path(folder).exists()]
    work = [(each, data, folder) for each in missing]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        finished: Iterable[None] = pool.map(_run, work)
        for _ in track(finished, total=len(work), description="training", console=Console(stderr=True)):
            pass


def _run(work: tuple[Training, Path, Path]) -> None:
    training, data, folder = work
    train(training, VARIANTS[training.variant], *_inputs(data, folder), folder)


@lru_cache(maxsize=1)
def _inputs(data: Path, folder: Path) -> tuple[dict[str, Features], Pairs]:
    return read_features(data, folder), read_lfw_pairs(data / "lfw", None)[1]


if __name__ == "__main__":
    main()
