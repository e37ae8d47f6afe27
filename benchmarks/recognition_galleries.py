"""Open-set rows of `recognition.py`: galleries with one photo of each person, and the promised FPIR."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pair_metrics import SEED, Metric, impostor_scores, with_intervals
from recognition_pairs import CFP, LFW, spread
from recognition_report import Cell, Table
from recognition_systems import ONELOOK, Photo, Systems, require

from onelook.data.readers.lfw import read_lfw
from onelook.errors import DataError
from onelook.evaluation.identification import (
    NON_MATED,
    Trials,
    dir_at_fpir,
    dir_at_threshold,
    fpir_at_threshold,
    run_trials,
)
from onelook.evaluation.open_set_calibration import fit_impostor_tail
from onelook.open_set import ImpostorModel
from onelook.settings import LfwSettings

TARGET_FPIR = 0.01
GALLERY_SIZES = (50, 100, 250, 1000)
DRAWS = 10
PROBES = 5
"""Most probe photos of a person."""
CALIBRATION_PEOPLE = 500
"""People of LFW's training list, one photo each, on whose impostor scores the peers are calibrated."""
MANY_PHOTOS = 5
"""Photos that a person of the row of many people has at least."""


class People(NamedTuple):
    """Photos of people.

    Attributes:
        name: of the set, for the table.
        photos: n photos.
        people: (n,) int64 in 0..p-1.
        enrolls: (n,) bool, the one photo of each person that enrolls.
        is_probe: (n,) bool, the photos that may be probes.
    """

    name: str
    photos: list[Photo]
    people: np.ndarray
    enrolls: np.ndarray
    is_probe: np.ndarray


def measure_galleries(systems: Systems, data: Path, limit: int | None) -> list[Table]:
    """Measure FPIR and DIR of galleries drawn from LFW's test people and from CFP's people."""
    models = fit_impostor_models(systems, data, limit)
    rows: list[dict[str, Cell]] = []
    for people in (read_lfw_people(data, limit), *read_cfp_people(data, limit)):
        embeddings = systems.embed(people.photos, f"galleries, {people.name}").embeddings
        count = 1 + int(people.people.max())
        for size in (size for size in GALLERY_SIZES if size <= count):
            for name in systems.names:
                trials = [
                    run_gallery(embeddings[name], people, enrolled, probes)
                    for enrolled, probes in draw_galleries(people, size)
                ]
                threshold = models[name].threshold(TARGET_FPIR, size)
                metrics = measure_trials(trials, threshold, count)
                setting: dict[str, Cell] = {"probes": people.name, "enrolled": size, "system": name}
                rows.append({**setting, "threshold": threshold, **metrics})
    notes = (
        f"One photo enrolls a person; {DRAWS} galleries of each size; at most {PROBES} probes of a person. An enrolled "
        "person's probe is also a probe of the gallery without that person.",
        describe_calibration(limit),
    )
    return [Table("galleries", f"Galleries of one photo a person, {TARGET_FPIR:.0%} FPIR promised", rows, notes)]


def measure_many_people(systems: Systems, data: Path, limit: int | None) -> list[Table]:
    """Count right names of LFW's test people with several photos, one of them enrolled."""
    models = fit_impostor_models(systems, data, limit)
    people = read_lfw_people(data, limit, at_least=MANY_PHOTOS)
    embeddings = systems.embed(people.photos, "many people").embeddings
    count = 1 + int(people.people.max())
    enrolled, probes = np.flatnonzero(people.enrolls), np.flatnonzero(~people.enrolls)
    rows: list[dict[str, Cell]] = []
    for name in systems.names:
        trials = run_gallery(embeddings[name], people, enrolled, probes)
        rows.append({"system": name, **count_answers(trials, models[name].threshold(TARGET_FPIR, count), count)})
    notes = (
        f"{count} test people of LFW with at least {MANY_PHOTOS} photos; the first enrolls, up to {PROBES} others are "
        f"the {len(probes)} probes.",
        describe_calibration(limit),
    )
    return [Table("many_people", "Many people, one photo each", rows, notes)]


def describe_calibration(limit: int | None) -> str:
    """Return the note on the thresholds of the systems."""
    people = CALIBRATION_PEOPLE if limit is None else min(limit, CALIBRATION_PEOPLE)
    return (
        "onelook's threshold is its own calibration's. The others' are of the same model of the impostor tail, "
        f"fitted to the pairs of {people} people of LFW's training list, one photo each, who are in no row."
    )


def fit_impostor_models(systems: Systems, data: Path, limit: int | None) -> dict[str, ImpostorModel]:
    """Return onelook's impostor model, and the peers' fitted on people of LFW's training list.

    Raises:
        DataError: onelook has no calibration of this model, or one without an impostor model.
    """
    calibration = systems.calibration
    if calibration is None or calibration.impostor_model is None:
        raise DataError("the model has no calibration of the impostor tail; name its calibration.json (--calibration)")
    if calibration.fingerprint != systems.predictor.fingerprint:
        raise DataError("the calibration is another model's; name that of this model (--calibration)")
    first = first_photos(require(data / LFW), "train")
    photos = spread(first, min(limit or CALIBRATION_PEOPLE, CALIBRATION_PEOPLE))
    embeddings = systems.embed([Photo(path) for path in photos], "calibration of the peers").embeddings
    models = {ONELOOK: calibration.impostor_model}
    for name in systems.names:
        if name != ONELOOK:
            tail = fit_impostor_tail(impostor_scores(embeddings[name], np.arange(len(photos))))
            assert tail is not None
            models[name] = ImpostorModel(mean=tail[0], std=tail[1], intercept=0.0, slope=1.0)
    return models


def first_photos(root: Path, split: str) -> list[Path]:
    """Return the first photo of each person of a split of LFW, by name."""
    dataset = read_lfw(LfwSettings(path=str(root)))
    official = dataset.official_splits or {}
    first = {image.identity: image.path for image in reversed(dataset.images) if official[image.identity] == split}
    return [first[name] for name in sorted(first)]


def read_lfw_people(data: Path, limit: int | None, at_least: int = 1) -> People:
    """Read the first photos of LFW's test people with at least `at_least` photos; the first photo enrolls."""
    first = first_photos(require(data / LFW), "test")
    photos_of = {path: sorted(path.parent.glob("*.jpg")) for path in first}
    first = spread([path for path in first if len(photos_of[path]) >= at_least], limit)
    chosen = [photos_of[path][: 1 + PROBES] for path in first]
    people = np.repeat(np.arange(len(chosen)), [len(photos) for photos in chosen])
    enrolls = np.concatenate([np.arange(len(photos)) == 0 for photos in chosen])
    return People(
        "LFW", [Photo(path) for photos in chosen for path in photos], people, enrolls, np.ones(len(people), bool)
    )


def read_cfp_people(data: Path, limit: int | None) -> Iterator[People]:
    """Yield CFP's people with frontal and with profile probes; the first frontal photo enrolls."""
    folders = spread(sorted(require(data / CFP / "images").iterdir()), limit)
    photos = [sorted(folder.glob("frontal/*.jpg")) + sorted(folder.glob("profile/*.jpg")) for folder in folders]
    people = np.repeat(np.arange(len(photos)), [len(each) for each in photos])
    enrolls = np.concatenate([np.arange(len(each)) == 0 for each in photos])
    paths = [path for each in photos for path in each]
    for kind in ("frontal", "profile"):
        is_probe = np.array([path.parent.name == kind for path in paths])
        yield People(f"CFP, {kind}", [Photo(path) for path in paths], people, enrolls, is_probe)


def draw_galleries(people: People, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of the enrolled photos and of the probes of randomly drawn galleries."""
    count = 1 + int(people.people.max())
    for draw in range(DRAWS):
        rng = np.random.default_rng([SEED, size, draw])
        is_enrolled = np.zeros(count, bool)
        is_enrolled[rng.permutation(count)[:size]] = True
        of_enrolled = is_enrolled[people.people]
        candidates = rng.permutation(np.flatnonzero(people.is_probe & ~(of_enrolled & people.enrolls)))
        yield np.flatnonzero(of_enrolled & people.enrolls), limit_per_person(candidates, people.people, PROBES)


def limit_per_person(rows: np.ndarray, people: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of the rows (n,) of each person, the first ones, sorted."""
    order = np.argsort(people[rows], kind="stable")
    persons = people[rows][order]
    rank = np.arange(len(rows)) - np.searchsorted(persons, persons)
    return np.sort(rows[order[rank < most]])


def run_gallery(embeddings: np.ndarray, people: People, enrolled: np.ndarray, probes: np.ndarray) -> Trials:
    """Run the trials of probe rows against enrolled rows; a face that was not found has no similarity."""
    column = {int(person): index for index, person in enumerate(people.people[enrolled])}
    mates = np.array([column.get(int(person), NON_MATED) for person in people.people[probes]], np.int64)
    similarities = np.nan_to_num(embeddings[probes] @ embeddings[enrolled].T, nan=-np.inf)
    return run_trials(similarities, mates, people.people[probes], np.ones(len(probes)))


def measure_trials(galleries: list[Trials], threshold: float, people: int) -> dict[str, Metric]:
    """Return FPIR and DIR at a threshold, and DIR at the requested FPIR: means over the galleries."""

    def metrics(weights: np.ndarray) -> dict[str, float]:
        every = np.array(
            [
                (
                    fpir_at_threshold(trials, threshold, weights),
                    dir_at_threshold(trials, threshold, weights),
                    dir_at_fpir(trials, TARGET_FPIR, weights),
                )
                for trials in galleries
            ]
        )
        # In a resample, the people of a gallery's probes may have no weight: then the gallery does not count.
        every = every[np.isfinite(every).all(axis=1)]
        fpir, at_threshold, at_target = every.mean(axis=0).tolist() if len(every) else (np.nan,) * 3
        return {"measured FPIR": fpir, "DIR": at_threshold, f"DIR at {TARGET_FPIR:.0%} FPIR": at_target}

    return with_intervals(metrics, people)


def count_answers(trials: Trials, threshold: float, people: int) -> Mapping[str, Cell]:
    """Count the right, wrong and unknown answers to mated probes, and those without a face."""
    is_named = trials.scores >= threshold
    right, no_face = is_named & trials.correct, ~np.isfinite(trials.scores)

    def metrics(weights: np.ndarray) -> dict[str, float]:
        return {"right": dir_at_threshold(trials, threshold, weights)}

    return {
        "right": int(right.sum()),
        "fraction": with_intervals(metrics, people)["right"],
        "wrong": int((is_named & ~trials.correct).sum()),
        "unknown": int((~is_named & ~no_face).sum()),
        "no face": int(no_face.sum()),
    }
