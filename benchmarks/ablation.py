"""What does each part of RetinaFace's full form do? One part at a time is changed, all trained alike from nothing.

    python benchmarks/ablation.py [--jobs 2] [--out build/ablation]

The base is a small full form: MobileNet-0.25, P2 to P6, context modules, cascade, boxes, landmarks and mesh. Trains
what is not trained yet as DVC experiments on the embedded data, evaluates each by the stage `evaluate`, resamples the
differences to the base over the same photos, times a few more steps of each training and rewrites the table in
docs/ablation.md. The base is trained three times, which shows how much is chance.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from experiments import Kind, fetch, metrics, run_experiments
from rich.console import Console
from rich.progress import track
from training_throughput import Ours

from onelook.data.batches import TrainingScenes
from onelook.data.scene import Manifest, read_manifest
from onelook.evaluation.bootstrap import with_intervals
from onelook.evaluation.landmarks import landmark_figures
from onelook.evaluation.probes import LOWEST_SCORE, SeenSplit, gather_sightings, look_at
from onelook.model.look import load_looker
from onelook.model.store import load_model
from onelook.reproducible import make_reproducible
from onelook.settings import Settings, load_settings

DOCUMENT = Path("docs/ablation.md")
BEGIN, END = "<!-- made by benchmarks/ablation.py -->", "<!-- end -->"
REPEATS = 3  # of the base
STEPS, TURNS = 6, 3  # of timing
COMMON = (
    "base.threads=1",  # two experiments share two cores better than two threads share an experiment
    "prepare.meshes=true",
    "model.levels=full",
    "model.pyramid=32",
    "model.context=plain",
    "model.cascade=true",
    "model.mesh=true",
    "model.dense=false",
    "model.start=nothing",
    "train.tasks=detection",
    "train.epochs=12",
    "train.batch=4",
    "train.learning_rate=0.003",
    "train.weights.box=0.25",  # the paper's
    "train.weights.landmarks=0.1",
    "train.matching.negatives_per_positive=3",
    "train.augment.crop=256",
)


class Row(NamedTuple):
    """One training: how the table tells it, what differs from COMMON, and whether its landmarks are trained."""

    told: str
    changes: tuple[str, ...] = ()
    points: bool = True


BASE = "base"
ROWS: Mapping[str, Row] = {
    BASE: Row("base"),
    "no-context": Row("context: none", ("model.context=none",)),
    "deformable": Row("context: deformable", ("model.context=deformable",)),
    "no-cascade": Row("no cascade", ("model.cascade=false",)),
    "no-landmarks": Row("landmarks not trained", ("train.weights.landmarks=0",), points=False),
    "no-mesh": Row("no mesh", ("model.mesh=false",)),
    "dense": Row("dense regression too", ("model.dense=true",)),
}
SLOWEST = ("deformable", "dense")  # begin first, so that none of them runs alone at the end

Figures = dict[str, float]


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/ablation"), help="scenes and models of the experiments")
    arguments = parser.parse_args()
    kinds = {
        name: Kind(f"ablation-{name}", COMMON, row.changes, REPEATS if name == BASE else 1, stage="evaluate")
        for name, row in ROWS.items()
    }
    run_experiments([kinds[name] for name in sorted(kinds, key=lambda name: name not in SLOWEST)], arguments.jobs)
    manifest = read_manifest(fetch(kinds[BASE].experiment(0), "build/scenes", arguments.out / "scenes"))
    measured = {name: metrics(kind.experiment(0)) for name, kind in kinds.items()}
    gains, pace = compare_with_base(kinds, manifest, arguments.out)
    repeats = [metrics(kinds[BASE].experiment(repeat)) for repeat in range(REPEATS)]
    text = "\n\n".join(
        [
            write_counts(manifest, measured[BASE]["counts"]),
            write_table(measured, gains, pace),
            write_repeats(repeats),
            write_commands(kinds),
        ]
    )
    print(text)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def compare_with_base(
    kinds: Mapping[str, Kind], manifest: Manifest, folder: Path
) -> tuple[dict[str, Figures], dict[str, float]]:
    """By row: what it gains over the base on the test photos, and how many images a second its training sees."""
    seen, pace = {}, {}
    for name, kind in track(kinds.items(), description="measuring", console=Console(stderr=True)):
        settings = load_settings(fetch(kind.experiment(0), "params.yaml", folder / "params"))
        make_reproducible(settings.base)
        model = fetch(kind.experiment(0), "build/model", folder / "models")
        seen[name] = see(model, manifest, settings)
        pace[name] = images_a_second(model, manifest, settings)
    return {name: difference(each, seen[BASE], settings) for name, each in seen.items() if name != BASE}, pace


def see(model: Path, manifest: Manifest, settings: Settings) -> SeenSplit:
    """The test photos as a network sees them, without who is in them."""
    low = settings.detect.model_copy(update={"score": LOWEST_SCORE})
    scenes = manifest.select("test")
    found = look_at(load_looker(model), manifest, scenes, low, lambda photos: None, embed=False)
    nobody = gather_sightings((), (), settings.evaluate.iou)
    return SeenSplit(scenes, found, [], nobody, nobody)


def images_a_second(model: Path, manifest: Manifest, settings: Settings) -> float:
    """Of a few steps more: the median of some turns, after one to warm up."""
    scenes = TrainingScenes(manifest, settings.train.augment, settings.base.seed)
    trainer = Ours(load_model(model), scenes, settings, STEPS)
    return statistics.median([trainer.turn(epoch).images for epoch in range(1 + TURNS)][1:])


def difference(own: SeenSplit, base: SeenSplit, settings: Settings) -> Figures:
    """How much higher `ap50` and `nme` are than the base's, with intervals: both see the same resampled photos.

    Each has its landmark error over the faces that it found itself.
    """
    judged = [(each.outcomes(), *each.errors(settings.evaluate.iou, settings.detect.score)) for each in (own, base)]

    def gains(weights: np.ndarray) -> Figures:
        ap, nme = (
            [outcomes.average_precision(weights) for outcomes, _, _ in judged],
            [landmark_figures(errors, weights[scenes])["nme"] for _, errors, scenes in judged],
        )
        return {"ap50": ap[0] - ap[1], "nme": nme[0] - nme[1]}

    return with_intervals(gains, (len(own.scenes),), settings.evaluate.bootstrap, settings.base.seed)


def write_counts(manifest: Manifest, counts: Mapping[str, int]) -> str:
    """How little data this is."""
    training = manifest.select("train")
    faces = sum(len(scene.faces) for scene in training)
    return (
        f"Trained on {len(training)} composed scenes with {faces} faces of {len(manifest.identities('train'))} people "
        f"(people mixed of two among them); measured on {counts['scenes']} scenes with {counts['faces']} faces of "
        f"{counts['people']} others."
    )


def write_table(
    measured: Mapping[str, Mapping[str, Any]], gains: Mapping[str, Figures], pace: Mapping[str, float]
) -> str:
    """A row a training: figures of the stage `evaluate`, differences to the base in points, training's speed."""
    lines = ["| | AP .5 | against the base | landmark error | against the base | mesh error | images/s |"]
    lines.append("|---" * 7 + "|")
    for name, row in ROWS.items():
        figures, gain = measured[name], gains.get(name, {})
        cells = [_cell(figures.get("detection", {}), "ap50"), _points(gain, "ap50")]
        cells += [_cell(figures.get("landmarks", {}), "nme"), _points(gain, "nme")] if row.points else ["–", "–"]
        cells += [_cell(figures.get("mesh", {}), "error"), f"{pace[name]:.1f}"]
        lines.append(f"| {row.told} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_repeats(repeats: Sequence[Mapping[str, Any]]) -> str:
    """What other random numbers alone do."""
    told = {"AP .5": ("detection", "ap50"), "landmark error": ("landmarks", "nme"), "mesh error": ("mesh", "error")}
    parts = [
        f"{name} {', '.join(f'{each[section][figure]:.4f}' for each in repeats)}"
        for name, (section, figure) in told.items()
        if all(figure in each.get(section, {}) for each in repeats)
    ]
    return f"The base, trained {len(repeats)} times with other random numbers: {'; '.join(parts)}."


def write_commands(kinds: Mapping[str, Kind]) -> str:
    """The command behind each row, with the common settings once."""
    lines = [f"`COMMON` stands for `{Kind.told(COMMON)}`; of the base `train.repeat` is also 1 and 2.", ""]
    for name, kind in kinds.items():
        lines.append(f"- {name}: `dvc exp run COMMON {Kind.told((*kind.changes, 'train.repeat=0'))} evaluate`")
    return "\n".join(lines)


def _cell(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return "–"
    return f"{figures[name]:.3f} [{figures[f'{name}_low']:.3f}, {figures[f'{name}_high']:.3f}]"


def _points(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return "–"
    mean, low, high = (100 * figures[each] for each in (name, f"{name}_low", f"{name}_high"))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
