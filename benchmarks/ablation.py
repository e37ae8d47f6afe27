"""Measure what each part of RetinaFace's full form contributes.

Change one part at a time.

    python benchmarks/ablation.py [--jobs 2] [--out build/ablation]

The base is a small full form: MobileNet-0.25, P2 to P6, context modules, cascade, boxes, landmarks and mesh. Missing
trainings run as DVC experiments on the embedded data, all from random weights. Each network is measured as the stage
`evaluate` does. Differences to the base are resampled over the same photos. The table in docs/ablation.md is rewritten;
every row is one training.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dvc_experiments import Kind, fetch, fetch_model, format_commands, run_experiments
from paired_bootstrap import Figures, Outcome, difference
from rich.console import Console
from rich.progress import track

from onelook.data.manifest import Manifest, read_manifest
from onelook.data.synthesis.blending import is_blend
from onelook.reproducibility import seed_everything
from onelook.settings import load_settings

DOCUMENT = Path("docs/ablation.md")
BEGIN, END = "<!-- made by benchmarks/ablation.py -->", "<!-- end -->"
COMMON = (
    "base.threads=1",  # two experiments share two cores better than two threads share an experiment
    "prepare.mesh_labels=true",
    "prepare.morphable_model=true",
    "model.pyramid_levels=full",
    "model.fpn_channels=32",
    "model.context=plain",
    "model.cascade=all",
    "model.mesh=true",
    "model.dense=false",
    "model.init=random",
    "train.tasks=detection",
    "train.weights.mesh=0.08",  # the paper's .01 beside .25 for the box
    "train.epochs=8",
    "train.batch_size=4",
    "train.learning_rate=0.003",
    "train.augment.crop_size=256",
)


class Row(NamedTuple):
    """Describe one training.

    Its label in the table, its changes to COMMON, and whether landmarks are trained.
    """

    label: str
    changes: tuple[str, ...] = ()
    points: bool = True


BASE = "base"
ROWS: Mapping[str, Row] = {
    BASE: Row("base"),
    "no-context": Row("context: none", ("model.context=none",)),
    "deformable": Row("context: deformable", ("model.context=deformable",)),
    "no-cascade": Row("no cascade", ("model.cascade=none",)),
    "no-landmarks": Row("landmarks not trained", ("train.weights.landmarks=0",), points=False),
    "no-mesh": Row("no mesh", ("model.mesh=false",)),
    "dense": Row("with dense regression", ("model.dense=true",)),
}
# How the table tells a figure.
FIGURES = {"AP .5": "ap50", "landmark error": "nme", "mesh error": "mesh"}
SLOWEST = ("deformable", "dense")  # begin first, so that none of them runs alone at the end


def main() -> None:
    """Train, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/ablation"), help="scenes and models of the experiments")
    arguments = parser.parse_args()
    kinds = {name: Kind(f"ablation-{name}", COMMON, row.changes, 1) for name, row in ROWS.items()}
    run_experiments([kinds[name] for name in sorted(kinds, key=lambda name: name not in SLOWEST)], arguments.jobs)
    manifest = read_manifest(fetch(kinds[BASE].experiment(0), "build/scenes", arguments.out / "scenes"))
    measured, gains = compare_with_base(kinds, manifest, arguments.out)
    text = "\n\n".join(
        [
            write_counts(manifest),
            write_table(measured, gains),
            format_commands(kinds),
        ]
    )
    print(text)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def compare_with_base(
    kinds: Mapping[str, Kind], manifest: Manifest, folder: Path
) -> tuple[dict[str, Figures], dict[str, Figures]]:
    """Return per row the metrics and their gains over the base on the test photos."""
    seen = {
        name: outcome(kind, manifest, folder)
        for name, kind in track(kinds.items(), description="measuring", console=Console(stderr=True))
    }
    gains = {name: difference(each, seen[BASE]) for name, each in seen.items() if name != BASE}
    return {name: each.bootstrap_intervals() for name, each in seen.items()}, gains


def outcome(kind: Kind, manifest: Manifest, folder: Path) -> Outcome:
    """Evaluate the network of an experiment on the test photos."""
    experiment = kind.experiment(0)
    settings = load_settings(fetch(experiment, "params.yaml", folder / "params"))
    seed_everything(settings.base)
    return Outcome(fetch_model(experiment, folder / "models"), manifest, settings)


def write_counts(manifest: Manifest) -> str:
    """Print the numbers of training and test photos, faces and people."""
    training, names = manifest.select("train"), manifest.identities("train")
    test = manifest.select("test")
    blends = sum(is_blend(name) for name in names)
    faces = sum(len(scene.faces) for scene in training)
    return (
        f"Trained on {len(training)} scenes with {faces} faces of {len(names) - blends} people and {blends} blended "
        f"identities; measured on {len(test)} scenes with {sum(len(scene.faces) for scene in test)} faces of "
        f"{len(manifest.identities('test'))} other people."
    )


def write_table(measured: Mapping[str, Figures], gains: Mapping[str, Figures]) -> str:
    """Print a row a training: metrics, and differences to the base in points."""
    lines = [f"| | {' | against the base, points | '.join(FIGURES)} | against the base, points |"]
    lines.append("|---" * (1 + 2 * len(FIGURES)) + "|")
    for name, row in ROWS.items():
        cells = []
        for figure in FIGURES.values():
            known = row.points or figure != "nme"
            cells.append(_cell(measured[name] if known else {}, figure))
            cells.append(_points(gains.get(name, {}) if known else {}, figure))
        lines.append(f"| {row.label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return "–"
    return f"{metrics[name]:.3f} [{metrics[f'{name}_low']:.3f}, {metrics[f'{name}_high']:.3f}]"


def _points(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return "–"
    mean, low, high = (100 * metrics[each] for each in (name, f"{name}_low", f"{name}_high"))
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
