"""Check the promised false-positive identification rate over gallery sizes.

LFW, end to end.

    python benchmarks/open_set.py --data ../shared/data [--model build/model] [--cache FILE] [--out FOLDER]

Fitted on the validation people: those of `peopleDevTrain.txt` that `make released` holds out of training. Each one's
first photo enrolls, the others are probes. Measured on `peopleDevTest.txt`: nobody of it was trained or fitted on.
100 and 1,000 test people are enrolled, drawn anew twenty times; all others are non-mated. For 5,000 there are too few
of them: the training people are enrolled beside drawn test people, and every probe is of a test person. A person's
first photo enrolls; one photo is a probe, another one of those enrolled. An enrolled person's photo is also a
non-mated probe of the gallery without that person (as in evaluation/identification.py). Prints Markdown tables;
intervals are of 95 %, over the people. With --cache the embeddings are stored in a file and read from it the next
time; with --out the reliability diagram is drawn.
"""

import argparse
from pathlib import Path

import numpy as np
from device_option import add_device_option, load_predictor
from lfw_verification import embed_center_faces

from onelook.data.readers.lfw import read_lfw
from onelook.data.rng import Stream, make_rng
from onelook.data.splits import hold_out_validation
from onelook.evaluation.bootstrap import bootstrap_intervals
from onelook.evaluation.identification import (
    NON_MATED,
    Trials,
    dir_at_fpir,
    dir_at_threshold,
    fpir_at_threshold,
    run_trials,
)
from onelook.evaluation.open_set_calibration import bin_by_confidence, fit_impostor_model, pool_trials
from onelook.evaluation.plots import plot_reliability, save_figure
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.open_set import ImpostorModel
from onelook.settings import LfwSettings, SplitFractions

SHARES = SplitFractions(train=0.7, validation=0.04, test=0.26)  # of `make released`
SEED = 2026  # of params.yaml
SIZES, DRAWS, RESAMPLES = (100, 1000, 5000), 20, 300
TARGETS = (0.01, 0.1)
Seen = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def main() -> None:
    """Embed, fit, draw galleries and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--cache", type=Path, help="file that caches the embeddings")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    add_device_option(parser)
    arguments = parser.parse_args()
    if arguments.cache is not None and arguments.cache.is_file():
        with np.load(arguments.cache, allow_pickle=False) as kept:
            dataset = kept["embeddings"], kept["people"], kept["numbers"], kept["splits"]
    else:
        dataset = embed(arguments.data / "lfw", load_predictor(arguments.model, arguments.device))
        if arguments.cache is not None:
            np.savez(arguments.cache, embeddings=dataset[0], people=dataset[1], numbers=dataset[2], splits=dataset[3])
    unknown = fit(dataset)
    print(f"fitted: mean {unknown.mean:.4f}, standard deviation {unknown.std:.4f}; ", end="")
    print(f"log odds {unknown.intercept:.3f} - {unknown.slope:.3f} log(expected impostors)\n")
    print("| enrolled | requested FPIR | threshold | measured FPIR | DIR at the threshold ", end="")
    print("| DIR at the requested FPIR | non-mated |")
    print("|---|---|---|---|---|---|---|")
    for people in SIZES:
        galleries = draw_galleries(dataset, people)
        for target in TARGETS:
            print(row(galleries, unknown, people, target))
    print("\n| enrolled | expected calibration error |\n|---|---|")
    for people in SIZES:
        every = [pool_trials(trials) for trials in draw_galleries(dataset, people)]
        scores, right, weights = (np.concatenate(parts) for parts in zip(*every, strict=True))
        bins = bin_by_confidence(unknown.confidence(scores, people), right, weights)
        print(f"| {people:,} | {bins.expected_calibration_error():.3f} |")
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            picture = plot_reliability(
                bins, f"{people:,} people enrolled: calibration error {bins.expected_calibration_error():.3f}"
            )
            save_figure(arguments.out / f"reliability_{people}.png", picture)


def embed(root: Path, predictor: TorchPredictor) -> Seen:
    """Return every photo's embedding (n, d), NaN without a face, and its person.

    Number and split.
    """
    reading = read_lfw(LfwSettings(path=str(root)))
    owner = hold_out_validation(reading.official_splits or {}, SHARES, make_rng(SEED, Stream.SPLIT))
    photos = reading.images
    embeddings = embed_center_faces(predictor, [photo.path for photo in photos])[2]
    people = np.array([photo.identity for photo in photos])
    numbers = np.array([int(photo.path.stem[-4:]) for photo in photos])
    return embeddings, people, numbers, np.array([owner[photo.identity] for photo in photos])


def fit(dataset: Seen) -> ImpostorModel:
    """Fit the impostor model on the validation people."""
    embeddings, _, numbers, splits = dataset
    validation = (splits == "validation") & np.isfinite(embeddings[:, 0])
    similarities, owners, units = compare(
        dataset, np.flatnonzero(validation & (numbers > 1)), np.flatnonzero(validation & (numbers == 1))
    )
    unknown = fit_impostor_model(similarities, owners, run_trials(similarities, owners, units, np.ones(len(units))))
    assert unknown is not None
    return unknown


def draw_galleries(dataset: Seen, people: int) -> list[Trials]:
    """Return the trials of randomly drawn galleries of a size.

    Probes are photos that do not enroll.
    """
    embeddings, names, numbers, splits = dataset
    found = np.isfinite(embeddings[:, 0])
    test, trained = (np.flatnonzero((splits == split) & (numbers == 1) & found) for split in ("test", "train"))
    trials = []
    for number in range(DRAWS):
        rng = np.random.default_rng([SEED, people, number])
        known = trained if people > len(test) else trained[:0]
        drawn = rng.permutation(test)[: people - len(known)]
        left = rng.permutation(np.setdiff1d(np.flatnonzero((splits == "test") & found), drawn))
        probes = left[np.unique(names[left], return_index=True)[1]]
        similarities, owners, units = compare(dataset, probes, np.concatenate([drawn, known]))
        trials.append(run_trials(similarities, owners, units, np.ones(len(probes))))
    return trials


def compare(dataset: Seen, probes: np.ndarray, enrolled: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return similarities (n, p) of photos to enrolled photos.

    Each probe's own column or NON_MATED, and its person.
    """
    embeddings, names, _, _ = dataset
    column = {name: place for place, name in enumerate(names[enrolled])}
    owners = np.array([column.get(name, NON_MATED) for name in names[probes]], np.int64)
    units = np.unique(names, return_inverse=True)[1][probes]
    return embeddings[probes] @ embeddings[enrolled].T, owners, units


def row(galleries: list[Trials], unknown: ImpostorModel, people: int, target: float) -> str:
    """Return a table row: means over the galleries.

    With intervals over the people looked up.
    """
    threshold = unknown.threshold(target, people)
    everyone = 1 + max(int(trials.non_mated_units.max()) for trials in galleries)

    def metrics(weights: np.ndarray) -> dict[str, float]:
        every = [
            (
                fpir_at_threshold(trials, threshold, weights),
                dir_at_threshold(trials, threshold, weights),
                dir_at_fpir(trials, target, weights),
            )
            for trials in galleries
        ]
        return dict(zip(("fpir", "dir", "best"), np.mean(every, axis=0).tolist(), strict=True))

    known = bootstrap_intervals(metrics, (everyone,), RESAMPLES, SEED)
    cells = [f"{known[k]:.4f} [{known[k + '_low']:.4f}, {known[k + '_high']:.4f}]" for k in ("fpir", "dir", "best")]
    return f"| {people:,} | {target} | {threshold:.4f} | {' | '.join(cells)} | {len(galleries[0].non_mated_scores)} |"


if __name__ == "__main__":
    main()
