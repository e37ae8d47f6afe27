import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from onelook.data.face_dataset import FaceDataset
from onelook.data.manifest import Face, Scene, read_manifest, write_manifest
from onelook.data.scene_dataset import WHOLE, SceneBatch, SceneDataset, Shard
from onelook.data.teacher_embeddings import training_scenes, write_teacher_embeddings
from onelook.errors import DataError, ModelError, OnelookError
from onelook.geometry.alignment import TEMPLATE
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.settings import IdentitySettings, Settings, load_settings
from onelook.training.checkpoint import FILE
from onelook.training.loop import Callbacks, Trainer, TrainState

PROJECT = Path(__file__).resolve().parents[2]
TINY_EMBEDDING = {"size": 8, "channels": 8, "strides": [2, 4, 8, 16], "grid": 14, "sampling": "warp", "extent": 1}
TINY_EMBEDDING |= {"widths": [8, 8], "depths": [0, 0], "gdc_channels": 8}


def tiny_settings(**train: object) -> Settings:
    """The project's own settings, shrunk to seconds."""
    tree = load_settings(PROJECT / "params.yaml").model_dump()
    tree["base"] = {"seed": 7, "threads": 1}
    tree["model"] |= {"init": "wheel", "embedding": TINY_EMBEDDING}
    tree["train"] |= {"epochs": 3, "batch": 2, "learning_rate": 0.003, "backbone_lr_mult": 0.05, **train}
    tree["train"]["augment"] |= {"crop": 64, "zoom": [0.9, 1.1], "min_identity_size": 0, "photometric": 0}
    return Settings.model_validate(tree)


def write_scenes(root: Path, people: int = 2) -> Path:
    """Six training scenes of so many painted people, and one of nobody."""
    rng = np.random.default_rng(0)
    scenes = []
    (root / "images").mkdir(parents=True)
    for i in range(7):
        image = rng.integers(0, 60, (80, 96, 3), dtype=np.uint8)
        landmarks = TEMPLATE * 0.4 + np.array([20, 15], np.float32)
        faces: tuple[Face, ...] = ()
        if i < 6:
            cv2.ellipse(image, (42, 40), (18, 24), 0, 0, 360, (180, 160, 140), -1)
            # One is dark above the eyes, the other below the mouth.
            dark = slice(16, 34) if i % 2 else slice(44, 64)
            image[dark, 24:60] //= 4
            for x, y in landmarks:
                cv2.circle(image, (int(x), int(y)), 2, (20, 20, 20), -1)
            faces = (Face(np.array([24, 16, 60, 64], np.float32), landmarks, identity=f"p{i % people}"),)
        cv2.imwrite(str(root / f"images/{i}.png"), image)
        scenes.append(Scene(f"images/{i}.png", 96, 80, "train", "scene", faces, "painted", "none"))
    write_manifest(root, scenes)
    return root


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "scenes")


def train(
    scenes: Path, checkpoints: Path, settings: Settings, *, key: str = "k", stop_after: int | None = None
) -> tuple[TrainState, JointNetwork]:
    """Train; the figure prefers the second epoch. `stop_after` interrupts when that epoch is saved."""
    torch.manual_seed(settings.base.seed)
    torch.set_num_threads(settings.base.threads)
    manifest = read_manifest(scenes)
    network = build_pretrained(settings.model)
    trainer = Trainer(network, SceneDataset(manifest, settings.train.augment, settings.base.seed), settings)
    calls = [0.5, 0.9, 0.7]

    def epoch_done(epoch: int, figures: dict[str, float]) -> None:
        done.append(epoch)
        if epoch == stop_after:
            raise KeyboardInterrupt

    done: list[int] = []
    watchers = Callbacks(validate=lambda network: {"figure": calls.pop(0)}, epoch_done=epoch_done)
    if (checkpoints / FILE).exists() and key == "k":
        del calls[: stop_after_of(checkpoints)]
    progress = trainer.run(checkpoints, key, watchers)
    return progress, network


def stop_after_of(checkpoints: Path) -> int:
    return len(torch.load(checkpoints / FILE, weights_only=True)["state"]["history"])


def same_weights(a: JointNetwork, b: JointNetwork) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(x.equal(y) for x, y in pairs)


def test_the_best_epoch_is_kept_and_every_epoch_is_recorded(scenes: Path, tmp_path: Path) -> None:
    progress, network = train(scenes, tmp_path / "c", tiny_settings())
    assert [row["epoch"] for row in progress.history] == [1, 2, 3]
    assert progress.best["epoch"] == 2 and progress.best["figure"] == 0.9
    assert all(value.equal(progress.best_state[name]) for name, value in network.state_dict().items())
    assert {"loss.identity", "loss.keep", "loss.box", "weight.identity"} <= progress.history[0].keys()


def goes_on_to_the_same_bits(scenes: Path, tmp_path: Path, settings: Settings) -> None:
    """Train at once into "whole", and interrupted after an epoch into "parts"."""
    whole, network = train(scenes, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train(scenes, tmp_path / "parts", settings, stop_after=1)
    resumed, resumed_network = train(scenes, tmp_path / "parts", settings)
    assert resumed.history == whole.history
    assert same_weights(resumed_network, network)


@pytest.mark.parametrize("balance", ["fixed", "learned"])
def test_an_interrupted_run_goes_on_to_the_same_bits(scenes: Path, tmp_path: Path, balance: str) -> None:
    goes_on_to_the_same_bits(scenes, tmp_path, tiny_settings(balance=balance))


def with_loss(loss: str, **train: object) -> Settings:
    """Training with that loss on scenes seen whole, the detector left as it is."""
    identity = load_settings(PROJECT / "params.yaml").train.identity.model_dump()
    # A wide margin: of a narrow one the mined triplets are always those that cost about half of it.
    identity |= {"loss": loss, "triplet": {"margin": 1.0}}
    tree = tiny_settings(**{"batch": 7, "backbone_lr_mult": 0.0, "identity": identity, **train}).model_dump()
    tree["train"]["augment"] |= {"crop": 96, "zoom": (1, 1)}
    return Settings.model_validate(tree)


@pytest.mark.parametrize("loss", get_args(IdentitySettings.model_fields["loss"].annotation))
def test_every_loss_learns_the_two_painted_people(scenes: Path, tmp_path: Path, loss: str) -> None:
    settings = with_loss(loss, epochs=25, learning_rate=0.01)
    torch.manual_seed(0)
    network = build_pretrained(settings.model)
    trainer = Trainer(network, SceneDataset(read_manifest(scenes), settings.train.augment, 1), settings)
    history = trainer.run(tmp_path, "k", Callbacks(validate=lambda network: {"figure": 0.0})).history
    first, last = (np.mean([row["loss.identity"] for row in rows]) for rows in (history[:5], history[-5:]))
    assert last < 0.6 * first


@pytest.mark.parametrize("loss", ["center", "oim"])
def test_what_a_loss_keeps_outlives_an_interruption(scenes: Path, tmp_path: Path, loss: str) -> None:
    manifest = read_manifest(scenes)
    write_manifest(scenes, [*manifest.scenes[:5], nameless(manifest.scenes[5]), manifest.scenes[6]])
    settings = with_loss(loss, batch=3)
    goes_on_to_the_same_bits(scenes, tmp_path, settings)
    kept, again = (kept_by_the_loss(tmp_path / name) for name in ("whole", "parts"))
    assert len(kept) >= 3 and all(value.equal(again[name]) and bool(value.any()) for name, value in kept.items())


def nameless(scene: Scene) -> Scene:
    return replace(scene, faces=tuple(replace(face, identity=None) for face in scene.faces))


def kept_by_the_loss(checkpoints: Path) -> dict[str, torch.Tensor]:
    learned = torch.load(checkpoints / FILE, weights_only=True)["state"]["learned"]
    return {name: value for name, value in learned.items() if name.startswith("identity.")}


@pytest.mark.parametrize(("loss", "wanted"), [("arcface", [0, 1]), ("oim", [0, 1, -1])])
def test_strangers_reach_only_the_loss_that_knows_them(scenes: Path, loss: str, wanted: list[int]) -> None:
    """A face cut off by the crop, or too small, has lost its name to the augmentation: it is no stranger."""
    settings = with_loss(loss)
    tree = settings.model_dump()
    tree["train"]["augment"] |= {"min_identity_size": 20}
    settings = Settings.model_validate(tree)
    trainer = Trainer(
        build_pretrained(settings.model),
        SceneDataset(read_manifest(scenes), settings.train.augment, 0),
        settings,
    )
    face = TEMPLATE * 0.4 + np.float32(20)
    cut, absent = face - np.array([50, 0], np.float32), np.full((5, 2), np.nan, np.float32)
    points = torch.from_numpy(np.stack([face, face, face, face, cut, absent]))
    boxes = torch.tensor([[20.0, 20.0, 60.0, 60.0]]).repeat(6, 1)
    boxes[3, 2:] = 35  # too small
    who = torch.tensor([0, 1, -1, -1, -1, -1])
    batch = SceneBatch(torch.zeros(1, 3, 96, 96, dtype=torch.uint8), [boxes], [points], [who], None)
    landmarks, masks = trainer.losses._faces_to_embed(batch, [points])
    assert who[masks[0]].tolist() == wanted and len(landmarks[0]) == len(wanted)


def test_a_killed_process_leaves_a_checkpoint_that_training_goes_on_from(scenes: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of an epoch: the rerun ends with the same bits as a run nobody disturbed."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\nfrom test_loop import *\n"
        f"train(Path({str(scenes)!r}), Path({str(tmp_path / 'killed')!r}), tiny_settings(epochs=3))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / FILE).exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    whole, network = train(scenes, tmp_path / "whole", tiny_settings())
    resumed, resumed_network = train(scenes, tmp_path / "killed", tiny_settings())
    assert resumed.history == whole.history
    assert same_weights(resumed_network, network)


def test_a_checkpoint_of_other_settings_or_data_is_not_gone_on_from(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(scenes, tmp_path / "c", tiny_settings(), stop_after=1)
    progress, _ = train(scenes, tmp_path / "c", tiny_settings(), key="other")
    assert len(progress.history) == 3 and progress.history[0]["figure"] == 0.5


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"text"])
def test_a_damaged_checkpoint_is_told_in_one_line(scenes: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    settings = tiny_settings()
    manifest = read_manifest(scenes)
    trainer = Trainer(build_pretrained(settings.model), SceneDataset(manifest, settings.train.augment, 0), settings)
    with pytest.raises(ModelError, match="damaged; delete it") as caught:
        trainer.run(tmp_path, "k", Callbacks(validate=lambda network: {"figure": 0.0}))
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_which(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(OnelookError, match=r"not finite in epoch 1, step \d") as caught:
        train(scenes, tmp_path / "c", tiny_settings(learning_rate=1e30, clip=1e30, trunk_rate=1.0))
    assert "identity" in str(caught.value)


def test_training_learns_the_two_painted_people(scenes: Path, tmp_path: Path) -> None:
    settings = tiny_settings(epochs=30, batch=7)  # batch norm says nothing of two faces
    torch.manual_seed(0)
    network = build_pretrained(settings.model)
    trainer = Trainer(network, SceneDataset(read_manifest(scenes), settings.train.augment, 1), settings)
    history = trainer.run(tmp_path, "k", Callbacks(validate=lambda network: {"figure": 0.0})).history
    first, last = (np.mean([row["loss.identity"] for row in rows]) for rows in (history[:3], history[-5:]))
    assert last < 0.3 * first
    assert history[-1]["loss.box"] < history[0]["loss.box"]


class Asked(SceneDataset):
    """Scenes that note which epochs were asked for."""

    def batches(self, epoch: int, size: int, part: Shard = WHOLE) -> Iterator[SceneBatch]:
        if epoch == 1:
            self.second.set()
        return super().batches(epoch, size, part)


def test_the_next_epochs_batches_are_made_while_one_is_validated(scenes: Path, tmp_path: Path) -> None:
    settings = tiny_settings(epochs=2)
    asked = Asked(read_manifest(scenes), settings.train.augment, 0)
    asked.second = Event()
    waited: list[bool] = []

    def validate(network: JointNetwork) -> dict[str, float]:
        waited.append(asked.second.wait(timeout=20))
        return {"figure": 0.0}

    Trainer(build_pretrained(settings.model), asked, settings).run(tmp_path, "k", Callbacks(validate=validate))
    assert waited == [True, True]


def test_the_trunk_learns_at_its_share_of_the_rate(scenes: Path) -> None:
    settings = tiny_settings(trunk_rate=0.0)
    network = build_pretrained(settings.model)
    trainer = Trainer(network, SceneDataset(read_manifest(scenes), settings.train.augment, 0), settings)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer._epoch(0, trainer.loader([0]), lambda epoch, step: None)
    moved = {name for name, value in network.state_dict().items() if not value.equal(before[name])}
    assert moved and not any(name.startswith("detector.") for name in moved)


def teach(crops: np.ndarray) -> np.ndarray:
    """Embeddings (n, 8) that tell the two painted people apart."""
    upper, lower = crops[:, :50].mean((1, 2, 3)), crops[:, 70:].mean((1, 2, 3))
    side = np.where(upper < lower, 1.0, -1.0)
    return np.stack([side, *[np.zeros_like(side)] * 7], axis=1).astype(np.float32)


def face_trainer(scenes: Path, settings: Settings) -> Trainer:
    """Trains on single faces, with a teacher that tells the two people apart."""
    torch.manual_seed(0)
    manifest = read_manifest(scenes)

    write_teacher_embeddings(scenes, training_scenes(manifest.scenes), teach)
    all_scenes = SceneDataset(manifest, settings.train.augment, 0)
    faces = FaceDataset(manifest, all_scenes.index, settings.train.faces, settings.train.augment, 0)
    return Trainer(build_pretrained(settings.model), all_scenes, settings, faces)


def face_settings(**train: object) -> Settings:
    faces = {
        "batch": 6,
        "side": 96,
        "labeled_fraction": 1.0,
        "images_per_identity": 1,
        "rotation": 5,
        "scale": 0.1,
        "downscale_prob": 0.0,
    }
    return tiny_settings(
        **{"batch": 0, "backbone_lr_mult": 0.0, "faces": faces, "epochs": 40, "learning_rate": 0.02, **train}
    )


def test_faces_alone_teach_the_embedding_and_leave_the_detector_as_it_was(scenes: Path, tmp_path: Path) -> None:
    trainer = face_trainer(scenes, face_settings())
    before = {name: value.clone() for name, value in trainer.network.detector.state_dict().items()}
    progress = trainer.run(tmp_path, "k", Callbacks(validate=lambda network: {"figure": 1.0}))
    assert all(value.equal(before[name]) for name, value in trainer.network.detector.state_dict().items())
    losses = [row["loss.distil"] for row in progress.history]
    assert losses[-1] < 0.6 < 0.8 < losses[0]  # 1 is knowing nothing
    assert "loss.box" not in progress.history[0]


def test_scenes_and_faces_are_trained_in_the_same_steps(scenes: Path, tmp_path: Path) -> None:
    trainer = face_trainer(scenes, face_settings(batch=2, trunk_rate=0.1, epochs=2))
    assert trainer.steps() == 1
    before = trainer.network.detector.trunk.stem.conv.weight.clone()
    progress = trainer.run(tmp_path, "k", Callbacks(validate=lambda network: {"figure": 1.0}))
    wanted = {"loss.box", "loss.keep", "loss.identity", "loss.distil"}
    assert all(wanted <= row.keys() for row in progress.history)
    assert not trainer.network.detector.trunk.stem.conv.weight.equal(before)


def test_a_teacher_of_another_length_is_told(scenes: Path) -> None:
    settings = face_settings()
    tree = settings.model_dump()
    tree["model"]["embedding"]["size"] = 12
    with pytest.raises(DataError, match=r"set model\.embedding\.size to 8"):
        face_trainer(scenes, Settings.model_validate(tree))


def test_what_the_released_weights_know_of_faces_is_kept(scenes: Path, tmp_path: Path) -> None:
    """A heavier weight of `distil` leaves the embeddings nearer to those that training started from."""

    def distance(weight: float) -> float:
        tree = tiny_settings(epochs=6, learning_rate=0.003, trunk_rate=0.0).model_dump()
        tree["model"] = load_settings(PROJECT / "params.yaml").model_dump()["model"] | {"init": "released"}
        tree["train"]["weights"]["distillation"] = weight
        settings = Settings.model_validate(tree)
        trainer = Trainer(
            build_pretrained(settings.model),
            SceneDataset(read_manifest(scenes), settings.train.augment, 0),
            settings,
        )
        progress = trainer.run(tmp_path / str(weight), "k", Callbacks(validate=lambda network: {"figure": 1.0}))
        return progress.history[-1]["loss.distil"]

    assert distance(50.0) < 0.6 * distance(0.01)


def test_detection_alone_leaves_the_embedding_head_as_it_was(scenes: Path, tmp_path: Path) -> None:
    settings = tiny_settings(tasks="detection", epochs=1)
    progress, network = train(scenes, tmp_path, settings)
    loaded = network.embedding.state_dict()
    torch.manual_seed(settings.base.seed)
    untrained = build_pretrained(settings.model)
    assert all(value.equal(loaded[name]) for name, value in untrained.embedding.state_dict().items())
    assert not network.detector.trunk.stem.conv.weight.equal(untrained.detector.trunk.stem.conv.weight)
    assert "loss.identity" not in progress.history[0] and "loss.box" in progress.history[0]


def test_recognition_alone_changes_the_trunk_but_not_the_detection_heads(scenes: Path, tmp_path: Path) -> None:
    settings = tiny_settings(tasks="recognition", epochs=1)
    progress, network = train(scenes, tmp_path, settings)
    untrained = build_pretrained(settings.model).detector
    assert all(
        value.equal(dict(untrained.heads.named_parameters())[name])
        for name, value in network.detector.heads.named_parameters()
    )
    assert not network.detector.trunk.stem.conv.weight.equal(untrained.trunk.stem.conv.weight)
    assert "loss.identity" in progress.history[0] and not {"loss.box", "loss.keep"} & progress.history[0].keys()


def test_a_teacher_teaches_the_faces_of_scenes_too_those_without_a_name_among_them(
    scenes: Path, tmp_path: Path
) -> None:
    """Nobody has a name but one face of each person: what is learned of the others is the teacher's."""
    manifest = read_manifest(scenes)
    write_manifest(scenes, [*manifest.scenes[:2], *(nameless(scene) for scene in manifest.scenes[2:])])

    write_teacher_embeddings(scenes, training_scenes(read_manifest(scenes).scenes), teach)
    settings = tiny_settings(batch=7, epochs=40, learning_rate=0.02, trunk_rate=0.0)
    torch.manual_seed(0)
    network = build_pretrained(settings.model)
    trainer = Trainer(network, SceneDataset(read_manifest(scenes), settings.train.augment, 0), settings)
    history = trainer.run(tmp_path / "c", "k", Callbacks(validate=lambda network: {"figure": 0.0})).history
    losses = [row["loss.distil"] for row in history]
    assert np.mean(losses[-5:]) < 0.5 < 0.8 < losses[0]  # 1 is knowing nothing


def stepped_settings(**train: object) -> Settings:
    """RetinaFace's optimizer and schedule, in three epochs instead of eighty."""
    steps = {"warmup_epochs": 1, "start": 0.1, "milestones": [2]}
    return tiny_settings(optimizer="sgd", schedule="steps", steps=steps, tasks="detection", **train)


def test_sgd_by_steps_goes_on_to_the_same_bits_after_an_interruption(scenes: Path, tmp_path: Path) -> None:
    goes_on_to_the_same_bits(scenes, tmp_path, stepped_settings())


def test_rates_of_the_steps_and_momentum_reach_the_optimizer(scenes: Path) -> None:
    settings = stepped_settings(momentum=0.8)
    manifest = read_manifest(scenes)
    trainer = Trainer(build_pretrained(settings.model), SceneDataset(manifest, settings.train.augment, 0), settings)
    shares = {}
    for step in (0, 3, 5, 6):  # of three steps an epoch
        trainer._set_rates(step, 3)
        shares[step] = {group["lr"] / (0.003 * group["share"]) for group in trainer.optimizer.param_groups}
    assert {step: [pytest.approx(value) for value in values] for step, values in shares.items()} == {
        0: [0.1],
        3: [1.0],
        5: [1.0],
        6: [0.1],
    }
    assert {group["momentum"] for group in trainer.optimizer.param_groups} == {0.8}


def test_detection_is_trained_where_nobody_has_a_name_and_recognition_is_refused(scenes: Path, tmp_path: Path) -> None:
    """Faces have three points; of what may be a face the nameless scene has one."""
    changed = []
    for scene in read_manifest(scenes).scenes:
        points = np.where(np.arange(5)[:, None] < 3, TEMPLATE * 0.4 + np.array([20, 15], np.float32), np.nan)
        faces = tuple(replace(face, identity=None, landmarks=points) for face in scene.faces)
        changed.append(replace(scene, faces=faces, ignored=np.array([[2, 2, 40, 40]], np.float32)))
    write_manifest(scenes, changed)
    progress, _ = train(scenes, tmp_path / "c", stepped_settings())
    assert all(row["loss.landmarks"] > 0 and "loss.identity" not in row for row in progress.history)
    settings = tiny_settings()
    with pytest.raises(DataError, match=r"no training scene holds a person; set train\.tasks: detection"):
        Trainer(
            build_pretrained(settings.model),
            SceneDataset(read_manifest(scenes), settings.train.augment, 0),
            settings,
        )


def test_bfloat16_says_about_the_same_and_leaves_weights_in_float32(scenes: Path, tmp_path: Path) -> None:
    told = {
        precision: train(scenes, tmp_path / precision, tiny_settings(batch=6, precision=precision))
        for precision in ("float32", "bfloat16")
    }
    exact, rough = (progress.history[0] for progress, _ in told.values())
    # Of 8 binary digits: near, and not the same.
    assert exact != rough and rough == pytest.approx(exact, rel=0.1, abs=0.1)
    assert all(parameter.dtype == torch.float32 for parameter in told["bfloat16"][1].parameters())


def test_a_step_of_two_batches_learns_from_the_mean_of_their_gradients(scenes: Path) -> None:
    def trainer(**changes: object) -> Trainer:
        torch.manual_seed(0)
        plain = {"batch": 3, "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "max_grad_norm": 1e9}
        settings = tiny_settings(**{**plain, **changes})
        manifest = read_manifest(scenes)
        return Trainer(build_pretrained(settings.model), SceneDataset(manifest, settings.train.augment, 7), settings)

    accumulating, one_by_one = trainer(accumulate=2), trainer()
    assert (accumulating.steps(), one_by_one.steps()) == (1, 2)
    before = {name: value.clone() for name, value in one_by_one.learned.state_dict().items()}
    one_by_one.network.train()
    for batch, some in enumerate(one_by_one.scenes.batches(0, 3)):  # gradients add up
        one_by_one.step_losses(some, None, 0, batch)["total"].backward()
    sums = {name: each.grad for name, each in one_by_one.learned.named_parameters() if each.grad is not None}
    accumulating._epoch(0, accumulating.loader([0]), lambda epoch, step: None)
    rates = {id(each): group["lr"] for group in accumulating.optimizer.param_groups for each in group["params"]}
    moved = {name: each for name, each in accumulating.learned.named_parameters() if name in sums}
    for name, each in moved.items():
        wanted = before[name] - rates[id(each)] * sums[name] / 2
        torch.testing.assert_close(each.detach(), wanted, atol=1e-6, rtol=1e-5)
    assert any(not each.equal(before[name]) for name, each in moved.items())
