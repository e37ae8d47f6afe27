"""Presets change their own keys alone, and the resulting network can be built and trained."""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from helpers.painted_scenes import label_meshes, write_dome_model
from onelook import cli
from onelook.data.manifest import Face, Scene, read_manifest, write_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.errors import SettingsError
from onelook.model.joint_network import JointNetwork
from onelook.settings import Settings, load_settings
from onelook.settings.presets import apply_preset, presets
from onelook.training.loop import Trainer

NAMES = ("grid", "retinaface", "ssh", "widerface")


@pytest.fixture
def params(project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(project / "params.yaml", tmp_path / "params.yaml"))


def flat(tree: dict, above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in tree.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def code_and_comments(text: str) -> list[tuple[str, str]]:
    return [tuple(part.strip() for part in line.partition("#")[::2]) for line in text.splitlines()]  # type: ignore[misc]


def test_every_preset_has_a_description() -> None:
    assert tuple(presets()) == NAMES
    assert len(set(presets().values())) == 4 and all(presets().values())


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_changes_its_keys_alone_and_keeps_every_comment(params: Path, name: str) -> None:
    before = params.read_text()
    changes = apply_preset(name, params)
    after = params.read_text()
    old, new = flat(yaml.safe_load(before)), flat(yaml.safe_load(after))
    assert list(old) == list(new)
    assert {change.key for change in changes} == {key for key in old if old[key] != new[key]} != set()
    for change in changes:
        assert (yaml.safe_load(change.old), yaml.safe_load(change.new)) == (old[change.key], new[change.key])
    assert [comment for _, comment in code_and_comments(after)] == [comment for _, comment in code_and_comments(before)]
    differing = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(differing) == len(changes)


@pytest.mark.parametrize("name", NAMES)
def test_applying_a_preset_twice_changes_nothing(params: Path, name: str) -> None:
    apply_preset(name, params)
    once = params.read_bytes()
    assert apply_preset(name, params) == [] and params.read_bytes() == once


def test_widerface_sets_the_schedule_and_augmentation_of_the_paper(params: Path) -> None:
    apply_preset("widerface", params)
    train = load_settings(params).train
    assert (train.optimizer, train.momentum, train.weight_decay, train.learning_rate) == ("sgd", 0.9, 5e-4, 1e-2)
    assert (train.epochs, train.schedule) == (80, "steps")
    assert (
        train.steps.warmup_epochs,
        train.learning_rate * train.steps.warmup_start_factor,
        train.steps.milestones,
    ) == (5, 1e-3, (55, 68))
    assert (train.augment.crop_size, train.augment.short_edge) == (640, (0.3, 1.0))
    assert (train.augment.photometric, train.augment.hue_saturation) == (0.5, 1)
    assert (train.matching.negatives_per_positive, train.weights.box, train.weights.landmarks) == (3, 0.25, 0.1)


def test_retinaface_sets_the_loss_weights_of_the_paper_and_trains_mesh_and_dense_regression(params: Path) -> None:
    for name in ("widerface", "retinaface"):
        apply_preset(name, params)
    settings = load_settings(params)
    weights = settings.train.weights
    assert (weights.classification, weights.box, weights.landmarks) == (1, 0.25, 0.1)
    assert (weights.mesh, weights.pixel) == (0.01, 0.01)
    assert settings.model.mesh and settings.model.dense
    assert settings.prepare.mesh_labels and settings.prepare.morphable_model
    for name in ("ssh", "grid"):  # networks without these heads
        apply_preset(name, params)
        assert not load_settings(params).model.mesh and not load_settings(params).model.dense


def write_scenes(root: Path) -> Path:
    """Write three painted training scenes without identities."""
    points = np.array([[30, 28], [46, 28], [38, 38], [32, 48], [44, 48]], np.float32)
    scenes = []
    for number in range(3):
        image = np.full((80, 100, 3), 40 + 20 * number, np.uint8)
        cv2.ellipse(image, (38, 36), (18, 24), 0, 0, 360, (180, 160, 140), -1)
        cv2.imwrite(str(root / f"{number}.png"), image)
        faces = (Face(np.array([20, 12, 56, 60], np.float32), points),)
        scenes.append(Scene(f"{number}.png", 100, 80, "train", "scene", faces, "painted", "none"))
    write_manifest(root, scenes)
    label_meshes(root)
    write_dome_model(root)
    return root


@pytest.mark.parametrize("chosen", [("widerface",), ("widerface", "retinaface"), ("widerface", "ssh")])
def test_presets_build_a_network_that_trains_a_step(params: Path, tmp_path: Path, chosen: tuple[str, ...]) -> None:
    """The networks are full-size; the crops have 64 pixels."""
    for name in chosen:
        apply_preset(name, params)
    tree = load_settings(params).model_dump()
    tree["train"]["batch_size"] = 2
    tree["train"]["augment"]["crop_size"] = 64
    settings = Settings.model_validate(tree)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = JointNetwork(settings.model)  # random weights: the public ones are no part of the project
    scenes = SceneDataset(read_manifest(write_scenes(tmp_path)), settings.train.augment, 0)
    trainer = Trainer(network, scenes, settings)
    trained = {"widerface": ("landmarks",), "retinaface": ("landmarks", "mesh", "pixel"), "ssh": ()}[chosen[-1]]
    trained = ("box", "classification", *trained)
    before = {name: value.clone() for name, value in network.detector.heads.state_dict().items()}
    figures = trainer.train_epoch(0, trainer.batches([0]), lambda epoch, step: None)
    assert all(np.isfinite(figures[f"loss.{name}"]) for name in trained)
    assert {name for name in figures if name.startswith("weight.")} >= {f"weight.{name}" for name in trained}
    moved = {
        name.split(".")[0]
        for name, value in network.detector.heads.state_dict().items()
        if not value.equal(before[name])
    }
    assert moved == ({"logits", "boxes"} if chosen[-1] == "ssh" else {"logits", "boxes", "landmarks"})


def test_errors_leave_the_file_unchanged(params: Path, tmp_path: Path) -> None:
    before = params.read_bytes()
    with pytest.raises(SettingsError, match="yolo: no such preset; there are grid, retinaface, ssh, widerface"):
        apply_preset("yolo", params)
    with pytest.raises(SettingsError, match="cannot be read; run this where"):
        apply_preset("ssh", tmp_path / "absent.yaml")
    assert params.read_bytes() == before
    # An error that is in the file already is reported with its key.
    text = params.read_text().replace("width_mult: 0.25 ", "width_mult: 2 ")
    params.write_text(text)
    with pytest.raises(SettingsError, match=r"model\.width_mult: 2 is impossible"):
        apply_preset("ssh", params)
    assert params.read_text() == text


@pytest.mark.parametrize(("absent", "named"), [("model", "model"), ("milestones", "train.steps.milestones")])
def test_an_absent_key_is_named_with_the_command_that_adds_it(params: Path, absent: str, named: str) -> None:
    tree = yaml.safe_load(params.read_text())
    (tree if absent == "model" else tree["train"]["steps"]).pop(absent)
    text = yaml.safe_dump(tree, sort_keys=False)
    params.write_text(text)
    with pytest.raises(SettingsError, match=rf"params.yaml: {named} is absent; `onelook complete-params` adds"):
        apply_preset("widerface", params)
    assert params.read_text() == text


def test_the_command_lists_presets_and_shows_each_change(
    params: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(params.parent)

    def run(*arguments: str) -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "argv", ["onelook", "preset", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out.splitlines(), err

    code, lines, _ = run()
    assert code == 0 and [line.split("\t")[0] for line in lines] == list(NAMES)
    code, lines, _ = run("retinaface")
    assert code == 0 and "model.backbone\tmobilenet\tresnet50" in lines
    assert load_settings(params).model.backbone == "resnet50"
    assert run("retinaface") == (0, [], "warning: params.yaml: retinaface is set already\n")
    assert run("yolo") == (1, [], "error: yolo: no such preset; there are grid, retinaface, ssh, widerface\n")
