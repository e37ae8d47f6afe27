"""Does a gallery keep the rate of false names it promises, whatever its size? LFW, end to end from the full photo.

    python benchmarks/unknown.py --data ../shared/data [--model build/model] [--seen FILE] [--out FOLDER]

Who is used for what. *Fitted* on the validation people: those of `peopleDevTrain.txt` that `make released` holds out of
training; each one's first photo enrolls, the others are looked up. *Measured* on `peopleDevTest.txt`: nobody of it was
trained on or fitted on. 100 and 1,000 test people are enrolled, drawn anew twenty times, all others are strangers. For
5,000 there are too few of them: the training people, whom the network knows, are enrolled beside drawn test people, and
whoever is looked up is a test person. A person's first photo enrolls; one photo is looked up, another of those enrolled.
An enrolled person's photo is also a stranger to the gallery without that person (as in evaluation/identification.py).
Prints Markdown tables; intervals are of 95 %, over the people looked up. With --seen the embeddings are
kept in a file, and read from it the next time; with --out the reliability of the confidence is drawn.
"""

import argparse
from pathlib import Path

import numpy as np
from lfw_verification import look_at

from onelook.data.readers.lfw import read_lfw
from onelook.data.rng import Stream, make_rng
from onelook.data.splits import hold_out_validation
from onelook.evaluation.bootstrap import with_intervals
from onelook.evaluation.calibration import fit_impostor_model, shown_trials
from onelook.evaluation.identification import (
    NON_MATED,
    Trials,
    detection_and_identification,
    dir_at_fpir,
    false_positive_identification,
    run_trials,
)
from onelook.evaluation.plots import draw_reliability, save_picture
from onelook.evaluation.reliability import reliability
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED
from onelook.open_set import ImpostorModel
from onelook.settings import LfwSettings, SplitFractions

SHARES = SplitFractions(train=0.7, validation=0.04, test=0.26)  # of `make released`
SEED = 2026  # of params.yaml
SIZES, DRAWS, RESAMPLES = (100, 1000, 5000), 20, 300
TARGETS = (0.01, 0.1)
Seen = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def main() -> None:
    """Embed, fit, draw galleries, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--seen", type=Path, help="file the embeddings are kept in")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    if arguments.seen is not None and arguments.seen.is_file():
        with np.load(arguments.seen, allow_pickle=False) as kept:
            seen = kept["embeddings"], kept["people"], kept["numbers"], kept["splits"]
    else:
        seen = embed(arguments.data / "lfw", arguments.model)
        if arguments.seen is not None:
            np.savez(arguments.seen, embeddings=seen[0], people=seen[1], numbers=seen[2], splits=seen[3])
    unknown = fit(seen)
    print(f"fitted: mean {unknown.mean:.4f}, deviation {unknown.deviation:.4f}; ", end="")
    print(f"log odds {unknown.intercept:.3f} - {unknown.slope:.3f} log(expected strangers)\n")
    print("| enrolled | promised FPIR | threshold | measured FPIR | DIR at it | DIR at the true FPIR | non-mated |")
    print("|---|---|---|---|---|---|---|")
    for people in SIZES:
        galleries = draw_galleries(seen, people)
        for target in TARGETS:
            print(row(galleries, unknown, people, target))
    print("\n| enrolled | expected calibration error |\n|---|---|")
    for people in SIZES:
        every = [shown_trials(trials) for trials in draw_galleries(seen, people)]
        scores, right, weights = (np.concatenate(parts) for parts in zip(*every, strict=True))
        bins = reliability(unknown.confidence(scores, people), right, weights)
        print(f"| {people:,} | {bins.error():.3f} |")
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            picture = draw_reliability(bins, f"{people:,} people enrolled: calibration error {bins.error():.3f}")
            save_picture(arguments.out / f"reliability_{people}.png", picture)


def embed(root: Path, model: Path) -> Seen:
    """Every photo's embedding (n, d), NaN without a face, and its person, number and split."""
    reading = read_lfw(LfwSettings(path=str(root)))
    owner = hold_out_validation(reading.official or {}, SHARES, make_rng(SEED, Stream.PEOPLE))
    photos = reading.portraits
    embeddings = look_at(load_torch_predictor(model), [photo.path for photo in photos])[2]
    people = np.array([photo.identity for photo in photos])
    numbers = np.array([int(photo.path.stem[-4:]) for photo in photos])
    return embeddings, people, numbers, np.array([owner[photo.identity] for photo in photos])


def fit(seen: Seen) -> ImpostorModel:
    """What the validation people tell of strangers."""
    embeddings, _, numbers, splits = seen
    validation = (splits == "validation") & np.isfinite(embeddings[:, 0])
    similarities, owners, units = compare(
        seen, np.flatnonzero(validation & (numbers > 1)), np.flatnonzero(validation & (numbers == 1))
    )
    unknown = fit_impostor_model(similarities, owners, run_trials(similarities, owners, units, np.ones(len(units))))
    assert unknown is not None
    return unknown


def draw_galleries(seen: Seen, people: int) -> list[Trials]:
    """The trials of galleries of so many people, drawn anew: a photo of every test person that does not enroll."""
    embeddings, names, numbers, splits = seen
    found = np.isfinite(embeddings[:, 0])
    test, trained = (np.flatnonzero((splits == split) & (numbers == 1) & found) for split in ("test", "train"))
    trials = []
    for number in range(DRAWS):
        rng = np.random.default_rng([SEED, people, number])
        known = trained if people > len(test) else trained[:0]
        drawn = rng.permutation(test)[: people - len(known)]
        left = rng.permutation(np.setdiff1d(np.flatnonzero((splits == "test") & found), drawn))
        probes = left[np.unique(names[left], return_index=True)[1]]
        similarities, owners, units = compare(seen, probes, np.concatenate([drawn, known]))
        trials.append(run_trials(similarities, owners, units, np.ones(len(probes))))
    return trials


def compare(seen: Seen, probes: np.ndarray, enrolled: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarities (n, p) of photos to enrolled photos, each probe's own column or STRANGER, and its person."""
    embeddings, names, _, _ = seen
    column = {name: place for place, name in enumerate(names[enrolled])}
    owners = np.array([column.get(name, NON_MATED) for name in names[probes]], np.int64)
    units = np.unique(names, return_inverse=True)[1][probes]
    return embeddings[probes] @ embeddings[enrolled].T, owners, units


def row(galleries: list[Trials], unknown: ImpostorModel, people: int, target: float) -> str:
    """A line of the table: means over the galleries, with intervals over the people looked up."""
    threshold = unknown.threshold(target, people)
    everyone = 1 + max(int(trials.other_units.max()) for trials in galleries)

    def figures(weights: np.ndarray) -> dict[str, float]:
        every = [
            (
                false_positive_identification(trials, threshold, weights),
                detection_and_identification(trials, threshold, weights),
                dir_at_fpir(trials, target, weights),
            )
            for trials in galleries
        ]
        return dict(zip(("fpir", "dir", "best"), np.mean(every, axis=0).tolist(), strict=True))

    known = with_intervals(figures, (everyone,), RESAMPLES, SEED)
    cells = [f"{known[k]:.4f} [{known[k + '_low']:.4f}, {known[k + '_high']:.4f}]" for k in ("fpir", "dir", "best")]
    return f"| {people:,} | {target} | {threshold:.4f} | {' | '.join(cells)} | {len(galleries[0].other_scores)} |"


if __name__ == "__main__":
    main()
