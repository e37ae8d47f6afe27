"""Completing a params.yaml inserts the absent keys, and changes neither the settings nor a byte of the rest."""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onelook.errors import OnelookError, SettingsError
from onelook.settings import Settings, load_settings
from onelook.settings.completion import complete_params
from onelook.settings.presets import apply_preset

ROOT = Path(__file__).resolve().parents[2]
PARAMS = ROOT / "params.yaml"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
DECLARED = sorted({key for stage in STAGES.values() for key in stage["params"]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def dotted_keys(tree: dict, above: str = "") -> Iterator[str]:
    """Yield the dotted key of every section and setting."""
    for key, value in tree.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from dotted_keys(value, f"{above}{key}.")


def lookup(tree: dict, key: str) -> object:
    for part in key.split("."):
        tree = tree[part]
    return tree


def without(text: str, removed: set[str]) -> str:
    """Return a params.yaml of two spaces per level without the lines of some keys; comments stay."""
    kept, above = [], []  # above: the keys of the line's sections
    for line in text.splitlines(keepends=True):
        name, colon, _ = line.partition(":")
        if not colon or line.lstrip().startswith("#"):
            kept.append(line)
            continue
        above = [*above[: (len(name) - len(name.lstrip())) // 2], name.strip()]
        if not any(".".join(above[:depth]) in removed for depth in range(1, len(above) + 1)):
            kept.append(line)
    return "".join(kept)


def is_subsequence(few: list[str], many: list[str]) -> bool:
    rest = iter(many)
    return all(line in rest for line in few)


KEYS = list(dotted_keys(yaml.safe_load(PARAMS.read_text())))
SECTION_OF = {key: key.rpartition(".")[0] for key in KEYS}


def sections_left_empty(removed: set[str]) -> set[str]:
    """Return the sections all of whose keys are removed; YAML would read their names without a value as null."""
    empty: set[str] = set()
    for section in sorted(set(SECTION_OF.values()) - {""}, key=lambda name: -name.count(".")):  # the deepest first
        if {key for key in KEYS if SECTION_OF[key] == section} <= removed | empty:
            empty.add(section)
    return empty


@cache
def params_with(preset: str | None) -> str:
    """Return the project's params.yaml, with the values of a preset."""
    if preset is None:
        return PARAMS.read_text()
    with TemporaryDirectory() as folder:
        path = Path(shutil.copy(PARAMS, folder))
        apply_preset(preset, path)
        return path.read_text()


@settings(max_examples=25)
@given(
    removed=st.sets(st.sampled_from(KEYS), max_size=4),
    fraction=st.sampled_from([0, 0.1, 0.5, 0.9, 1]),
    seed=st.integers(0, 2**32),
    preset=st.sampled_from([None, "ssh", "widerface"]),
    line_break=st.sampled_from(["\n", "\r\n"]),
    ends_with_break=st.booleans(),
)
def test_any_removed_keys_come_back_and_all_lines_stay(
    tmp_path_factory: pytest.TempPathFactory,
    removed: set[str],
    fraction: float,
    seed: int,
    preset: str | None,
    line_break: str,
    ends_with_break: bool,
) -> None:
    rng = random.Random(seed)
    removed = removed | {key for key in KEYS if rng.random() < fraction}
    older = without(params_with(preset), removed | sections_left_empty(removed))
    if not ends_with_break:
        older = older.removesuffix("\n")
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(older.replace("\n", line_break).encode())
    try:
        before = load_settings(path)
    except SettingsError:  # some values of a preset need others of it
        assume(False)
    added = complete_params(path)
    after = path.read_bytes()
    tree, old_tree, default = (yaml.safe_load(text) or {} for text in (after, older, params_with(None)))
    assert load_settings(path) == before
    assert set(dotted_keys(tree)) == set(KEYS) >= set(DECLARED)
    assert added.keys() == set(KEYS) - set(dotted_keys(old_tree)) - set(SECTION_OF.values())
    assert {key: lookup(tree, key) for key in added} == {key: lookup(default, key) for key in added}
    assert is_subsequence(older.splitlines(), after.decode().split(line_break))
    assert complete_params(path) == {} and path.read_bytes() == after


def test_keys_go_to_the_end_of_their_section_and_sections_to_the_end_of_the_file(path: Path) -> None:
    path.write_text(
        "# mine\n"
        "detect:   # keep\n"
        "    score:   0.7   # more\n"
        "    nms: 0.40\n"
        "    # face_size: 100\n"
        "\n"
        "evaluate: {iou: 0.5 , bootstrap_samples: 100}  # few\n"
        "mtcnn: {}\n"
        + "".join(
            f"{name}: {yaml.safe_dump(value, default_flow_style=True, width=9999)}"
            for name, value in Settings().model_dump(mode="json").items()
            if name not in {"detect", "evaluate", "mtcnn", "baselines", "index"}
        )
        + "# the end\n"
    )
    before = path.read_text().splitlines()
    assert complete_params(path) == {
        "baselines": "[]",
        "mtcnn.learning_rate": "0.004",
        "mtcnn.updates_per_batch": "8",
        "detect.longest_side": "1280",
        "detect.face_size": "160",
        "evaluate.target_fpir": "0.01",
        "evaluate.large_face_size": "48",
        "evaluate.eigenfaces": "100",
        "index.split": "test",
    }
    after = path.read_text().splitlines()
    assert after[:10] == [
        *before[:4],
        "    longest_side: 1280",
        "    face_size: 160",
        *before[4:6],
        "evaluate: {iou: 0.5 , bootstrap_samples: 100, target_fpir: 0.01, large_face_size: 48, eigenfaces: 100}  # few",
        "mtcnn: {learning_rate: 0.004, updates_per_batch: 8}",
    ]
    assert after[10:] == [*before[8:-1], "baselines: []", "index:", "  split: test", before[-1]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet",
        "---\n",
        "{}\n",
        "baselines:\n- mobilefacenet\n- mobilefacenet_average  # the second\n",
        "teacher:\n  path: two.onnx\n  others:\n  - path: one.onnx\n    size: 96  # not 112\n",
        "teacher:\n  path: >-\n    one.onnx\n\n# comment\nindex:\n  split: validation\n",
        "teacher:\n  template:\n",
        "train: {faces: {size:\n  [20, 100],  # pixels\n  }, epochs: 3}\n",
        "train:\n  faces: {crop_size: 128}\n  weights:\n    box: 3\n",
        "\ufeff'index': {\"split\": validation}\n...\n",
        "  base:\n        seed: 1\n  index:\n     split: test\n",
    ],
)
def test_every_form_of_a_section_is_completed(path: Path, text: str) -> None:
    path.write_text(text)
    before = load_settings(path)
    assert complete_params(path)
    assert load_settings(path) == before
    assert set(KEYS) <= set(dotted_keys(yaml.safe_load(path.read_text())))
    once = path.read_bytes()
    rest = iter(once.decode())
    assert all(character in rest for character in text)
    assert complete_params(path) == {} and path.read_bytes() == once


def test_a_complete_file_is_not_written(path: Path) -> None:
    shutil.copy(PARAMS, path)
    number = path.stat().st_ino
    assert complete_params(path) == {}
    assert (path.stat().st_ino, path.read_bytes()) == (number, PARAMS.read_bytes())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train:\n  epochs: many\n", "train.epochs: 'many' is impossible"),
        ("mtcnn:\n", "mtcnn: None is impossible"),
        ("sections: {}\n", "sections: unknown key"),
        ("train: [1\n", "not YAML"),
        ("~\n", "keys cannot be inserted; write one key a line"),
        ("mtcnn:\n  <<: {learning_rate: 0.1}\n", "keys cannot be inserted; write one key a line"),
    ],
)
def test_what_cannot_be_completed_is_refused_in_one_line_and_unchanged(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        complete_params(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert path.read_text() == text and list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    path.write_text("index: {split: validation}\n")
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OnelookError, match=r"No space left on device.*nothing was changed"):
        complete_params(path)
    assert path.read_text() == "index: {split: validation}\n" and list(path.parent.iterdir()) == [path]


def dvc(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True, check=False)


def test_dvc_runs_an_older_file_after_its_completion(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage has all parameters that the project's stages declare."""
    monkeypatch.chdir(path.parent)
    shutil.copytree(ROOT / ".dvc", ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    Path(".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    stage = {"cmd": "echo done > out", "params": DECLARED, "outs": ["out"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"all": stage}}))
    path.write_text(without(PARAMS.read_text(), {"mtcnn", "baselines", "model.embedding", "evaluate.iou"}))
    refused = dvc("repro")
    assert refused.returncode != 0 and "mtcnn" in refused.stderr and "are missing from 'params.yaml'" in refused.stderr
    assert complete_params(path)
    done = dvc("repro")
    assert done.returncode == 0 and Path("out").read_text() == "done\n", done.stderr
    locked = yaml.safe_load(Path("dvc.lock").read_text())["stages"]["all"]["params"]["params.yaml"]
    assert locked == {key: lookup(yaml.safe_load(PARAMS.read_text()), key) for key in DECLARED}
