import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from helpers.painted_scenes import without_identity, write_painted_scenes
from helpers.training_settings import (
    EMBEDDING_DIM,
    FACE_CROPS,
    changed,
    face_crop_settings,
    full_network_settings,
    identity_loss_settings,
    sgd_settings,
    tiny_settings,
)
from helpers.trainings import Trained, build_trainer, have_equal_weights, train
from onelook.data.face_dataset import FaceDataset
from onelook.data.label_arrays import write_teacher_embeddings
from onelook.data.manifest import read_manifest, select_training_scenes, write_manifest
from onelook.data.scene_dataset import FULL_BATCH, SceneBatch, SceneDataset, Shard
from onelook.errors import DataError, ModelError, OnelookError
from onelook.inference.fast.sampling import use_fast_sampler
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.settings import Settings, StepSchedule
from onelook.training.callbacks import Callbacks
from onelook.training.checkpoint import CHECKPOINT
from onelook.training.learning_rates import one_cycle_factor, stable_decay_factor, step_decay_factor
from onelook.training.loop import Trainer

RETINAFACE_STEPS = StepSchedule(warmup_epochs=5, warmup_start_factor=0.1, milestones=(55, 68))


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_painted_scenes(tmp_path / "scenes")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Three epochs, the second of which is the best."""
    root = tmp_path_factory.mktemp("uninterrupted")
    scenes = write_painted_scenes(root / "scenes")
    return train(scenes, root / "checkpoints", tiny_settings(), selection_metrics=[0.5, 0.9, 0.7])


def check_resumed_bits(scenes: Path, folder: Path, settings: Settings, expected: Trained | None = None) -> None:
    """Compare a training interrupted after an epoch (FOLDER/parts) with an uninterrupted one (FOLDER/full)."""
    metrics = [0.5, 0.9, 0.7]
    expected = expected or train(scenes, folder / "full", settings, selection_metrics=metrics)
    with pytest.raises(KeyboardInterrupt):
        train(scenes, folder / "parts", settings, selection_metrics=metrics, stop_after=1)
    resumed = train(scenes, folder / "parts", settings, selection_metrics=metrics[1:])
    assert resumed.history == expected.history
    assert have_equal_weights(resumed.network, expected.network)


def test_the_network_ends_with_the_best_epoch_and_every_epoch_is_recorded(uninterrupted: Trained) -> None:
    state, network = uninterrupted
    assert [row["epoch"] for row in state.history] == [1, 2, 3]
    assert state.best["epoch"] == 2 and state.best["selection_metric"] == 0.9
    assert all(value.equal(state.best_state[name]) for name, value in network.state_dict().items())
    assert {"loss.identity", "loss.lwf", "loss.box", "weight.identity"} <= state.history[0].keys()


def test_an_interrupted_run_resumes_to_the_same_bits(scenes: Path, tmp_path: Path, uninterrupted: Trained) -> None:
    check_resumed_bits(scenes, tmp_path, tiny_settings(), uninterrupted)


@pytest.mark.parametrize(
    "settings", [tiny_settings(task_weighting="learned"), sgd_settings()], ids=["learned weights", "sgd"]
)
def test_task_weights_and_momentum_are_resumed(scenes: Path, tmp_path: Path, settings: Settings) -> None:
    check_resumed_bits(scenes, tmp_path, settings)


@pytest.mark.parametrize("loss", ["center", "oim"])
def test_buffers_of_the_identity_loss_are_resumed(scenes: Path, tmp_path: Path, loss: str) -> None:
    manifest = read_manifest(scenes)
    write_manifest(scenes, [*manifest.scenes[:5], without_identity(manifest.scenes[5]), manifest.scenes[6]])
    check_resumed_bits(scenes, tmp_path, identity_loss_settings(loss, batch_size=3))
    full, parts = (read_identity_loss_state(tmp_path / name) for name in ("full", "parts"))
    assert len(full) >= 3 and all(value.equal(parts[name]) and bool(value.any()) for name, value in full.items())


def read_identity_loss_state(checkpoints: Path) -> dict[str, torch.Tensor]:
    modules = torch.load(checkpoints / CHECKPOINT, weights_only=True)["state"]["modules"]
    return {name: value for name, value in modules.items() if name.startswith("identity_loss.")}


def test_a_killed_process_leaves_a_checkpoint_that_resumes_to_the_same_bits(
    scenes: Path, tmp_path: Path, uninterrupted: Trained
) -> None:
    """SIGKILL arrives in the middle of an epoch."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from pathlib import Path\nfrom helpers.training_settings import tiny_settings\n"
        "from helpers.trainings import train\n"
        f"train(Path({str(scenes)!r}), Path({str(tmp_path / 'killed')!r}), tiny_settings(),"
        " selection_metrics=[0.5, 0.9, 0.7])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    checkpoint = tmp_path / "killed" / CHECKPOINT
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = len(torch.load(checkpoint, weights_only=True)["state"]["history"])
    resumed = train(scenes, tmp_path / "killed", tiny_settings(), selection_metrics=[0.5, 0.9, 0.7][done:])
    assert resumed.history == uninterrupted.history
    assert have_equal_weights(resumed.network, uninterrupted.network)


FACES_AND_SCENES = face_crop_settings(
    batch_size=2, backbone_lr_mult=0.1, epochs=3, faces=FACE_CROPS | {"batch_size": 2, "labeled_fraction": 1.0}
)


@pytest.mark.parametrize(
    ("settings", "step"),
    [(tiny_settings(), 2), (tiny_settings(accumulation_steps=2, batch_size=1), 3), (FACES_AND_SCENES, 2)],
    ids=["scenes", "accumulated", "faces and scenes"],
)
def test_a_run_interrupted_within_an_epoch_resumes_to_the_same_bits(
    scenes: Path, tmp_path: Path, settings: Settings, step: int
) -> None:
    expected = train(scenes, tmp_path / "full", settings)
    often = settings.model_copy(update={"train": settings.train.model_copy(update={"checkpoint_steps": 1})})
    with pytest.raises(KeyboardInterrupt):
        train(scenes, tmp_path / "parts", often, stop_in=(2, step))
    saved = torch.load(tmp_path / "parts" / CHECKPOINT, weights_only=True)["state"]
    assert (len(saved["history"]), saved["steps"]) == (1, step - 1)
    resumed = train(scenes, tmp_path / "parts", settings)
    assert resumed.history == expected.history
    assert have_equal_weights(resumed.network, expected.network)


def test_a_checkpoint_of_another_key_is_not_resumed(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(scenes, tmp_path, tiny_settings(epochs=2), stop_after=1)
    state, _ = train(scenes, tmp_path, tiny_settings(epochs=2), key="other", selection_metrics=[0.5, 0.9])
    assert len(state.history) == 2 and state.history[0]["selection_metric"] == 0.5


def test_a_damaged_checkpoint_stops_the_run(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"text")
    with pytest.raises(ModelError, match="damaged; delete it"):
        train(scenes, tmp_path, tiny_settings())


def test_a_loss_that_is_not_finite_stops_the_run_with_the_values(scenes: Path, tmp_path: Path) -> None:
    settings = tiny_settings(learning_rate=1e30, max_grad_norm=1e30, backbone_lr_mult=1.0)
    with pytest.raises(OnelookError, match=r"not finite in epoch 1, step \d") as caught:
        train(scenes, tmp_path, settings)
    assert "identity" in str(caught.value)


class RecordingDataset(SceneDataset):
    """Scenes with an event that is set when the batches of the second epoch are requested."""

    second_epoch: Event

    def batches(self, epoch: int, size: int, shard: Shard = FULL_BATCH, first: int = 0) -> Iterator[SceneBatch]:
        if epoch == 1:
            self.second_epoch.set()
        return super().batches(epoch, size, shard, first)


def test_batches_of_the_next_epoch_are_prefetched_during_validation(scenes: Path, tmp_path: Path) -> None:
    settings = tiny_settings(epochs=2)
    dataset = RecordingDataset(read_manifest(scenes), settings.train.augment, 0)
    dataset.second_epoch = Event()
    prefetched: list[bool] = []

    def validate(network: JointNetwork) -> dict[str, float]:
        prefetched.append(dataset.second_epoch.wait(timeout=20))
        return {"selection_metric": 0.0}

    Trainer(build_pretrained(settings.model), dataset, settings).run(tmp_path, "key", Callbacks(validate=validate))
    assert prefetched == [True, True]


def train_one_epoch(trainer: Trainer) -> dict[str, float]:
    return trainer.train_epoch(0, trainer.batches([0]), lambda epoch, step: None)


def test_a_detector_with_learning_rate_zero_is_frozen(scenes: Path) -> None:
    trainer = build_trainer(scenes, tiny_settings(backbone_lr_mult=0.0))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    train_one_epoch(trainer)
    moved = {name for name, value in trainer.network.state_dict().items() if not value.equal(before[name])}
    assert moved and not any(name.startswith("detector.") for name in moved)


def test_the_fast_sampler_trains_with_the_same_losses_where_the_detector_is_frozen(scenes: Path) -> None:
    settings = face_crop_settings(backbone_lr_mult=0.0)
    trainer, plain = build_trainer(scenes, settings), build_trainer(scenes, settings)
    assert trainer.losses.detector_frozen
    use_fast_sampler(trainer.network)
    assert train_one_epoch(trainer) == pytest.approx(train_one_epoch(plain), rel=1e-4)


def test_offsets_of_deformable_convolutions_have_a_tenth_of_the_learning_rate(scenes: Path) -> None:
    model = {"context": "deformable", "cascade": "none"}
    trainer = build_trainer(scenes, full_network_settings(model, epochs=1, tasks="detection"))
    offsets = {id(parameter) for name, parameter in trainer.network.named_parameters() if ".offsets." in name}
    lr_mults: dict[bool, set[float]] = {True: set(), False: set()}
    for group in trainer.optimizer.param_groups:
        for parameter in group["params"]:
            lr_mults[id(parameter) in offsets].add(group["lr_mult"])
    assert lr_mults == {True: {0.1}, False: {1.0}}


def test_schedule_and_momentum_reach_the_optimizer(scenes: Path) -> None:
    trainer = build_trainer(scenes, sgd_settings(momentum=0.8))
    factors = {}
    for step in (0, 3, 5, 6):  # three steps per epoch
        trainer.set_learning_rates(step, 3)
        factors[step] = {group["lr"] / (0.003 * group["lr_mult"]) for group in trainer.optimizer.param_groups}
    assert {step: [pytest.approx(value) for value in values] for step, values in factors.items()} == {
        0: [0.1],
        3: [1.0],
        5: [1.0],
        6: [0.1],
    }
    assert {group["momentum"] for group in trainer.optimizer.param_groups} == {0.8}


def test_accumulation_averages_the_gradients_of_two_batches(scenes: Path) -> None:
    def build(**train: object) -> Trainer:
        plain = {"batch_size": 3, "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "max_grad_norm": 1e9}
        return build_trainer(scenes, tiny_settings(**{**plain, **train}), data_seed=7)

    accumulating, reference = build(accumulation_steps=2), build()
    assert (accumulating.steps_per_epoch(), reference.steps_per_epoch()) == (1, 2)
    before = {name: value.clone() for name, value in reference.modules.state_dict().items()}
    reference.network.train()
    for number, batch in enumerate(reference.scenes.batches(0, 3)):  # gradients add up
        reference.compute_losses(batch, None, 0, number)["total"].backward()
    sums = {name: each.grad for name, each in reference.modules.named_parameters() if each.grad is not None}
    train_one_epoch(accumulating)
    rates = {id(each): group["lr"] for group in accumulating.optimizer.param_groups for each in group["params"]}
    moved = {name: each for name, each in accumulating.modules.named_parameters() if name in sums}
    for name, each in moved.items():
        expected = before[name] - rates[id(each)] * sums[name] / 2
        torch.testing.assert_close(each.detach(), expected, atol=1e-6, rtol=1e-5)
    assert any(not each.equal(before[name]) for name, each in moved.items())


def test_bfloat16_has_about_the_same_losses_and_float32_weights(scenes: Path, tmp_path: Path) -> None:
    trained = {
        precision: train(scenes, tmp_path / precision, tiny_settings(epochs=1, batch_size=6, precision=precision))
        for precision in ("float32", "bfloat16")
    }
    exact, rounded = (each.history[0] for each in trained.values())
    # bfloat16 has 8 significant bits, and the norms of an untrained head amplify the rounding between painted faces.
    assert exact != rounded and rounded == pytest.approx(exact, rel=0.2, abs=0.1)
    assert all(parameter.dtype == torch.float32 for parameter in trained["bfloat16"].network.parameters())


def test_teacher_embeddings_of_another_dimension_raise(scenes: Path) -> None:
    settings = face_crop_settings()
    manifest = read_manifest(scenes)
    write_teacher_embeddings(
        scenes,
        select_training_scenes(manifest.scenes),
        lambda images, landmarks: np.zeros((len(images), EMBEDDING_DIM), np.float32),
    )
    tree = settings.model_dump()
    tree["model"]["embedding"]["dim"] = 12
    wider = Settings.model_validate(tree)
    dataset = SceneDataset(manifest, wider.train.augment, 0)
    faces = FaceDataset(manifest, dataset.index, wider.train.faces, wider.train.augment, 0)
    with pytest.raises(DataError, match=r"set model\.embedding\.dim to 8"):
        Trainer(build_pretrained(wider.model), dataset, wider, faces)


def test_recognition_without_identities_raises(scenes: Path) -> None:
    write_manifest(scenes, [without_identity(scene) for scene in read_manifest(scenes).scenes])
    with pytest.raises(DataError, match=r"no training scene has an identity; set train\.tasks: detection"):
        build_trainer(scenes, tiny_settings())


def test_a_mesh_head_without_meshes_raises(scenes: Path) -> None:
    with pytest.raises(DataError, match=r"model.mesh: true needs meshes .* prepare.mesh_labels: true"):
        build_trainer(scenes, full_network_settings({"mesh": True}, tasks="detection"))


def test_a_heavier_distillation_weight_keeps_embeddings_closer_to_the_released_ones(
    scenes: Path, tmp_path: Path
) -> None:
    def distance(weight: float) -> float:
        settings = changed(
            tiny_settings(epochs=6, backbone_lr_mult=0.0),
            model={"init": "released", "embedding": Settings().model.embedding.model_dump()},
            weights={"distillation": weight},
        )
        trained = train(scenes, tmp_path / str(weight), settings, data_seed=0)
        return trained.history[-1]["loss.distillation"]

    assert distance(50.0) < 0.6 * distance(0.01)


def test_the_one_cycle_factor_rises_to_one_and_falls_to_almost_zero() -> None:
    factors = [one_cycle_factor(step, 200) for step in range(200)]
    assert factors[0] == pytest.approx(0.04)
    assert max(factors) == factors[30] == 1
    assert all(a < b for a, b in pairwise(factors[:31]))
    assert all(a > b for a, b in pairwise(factors[30:]))
    assert factors[-1] < 0.002


def test_the_stable_decay_factor_is_one_between_warmup_and_decay_whatever_the_number_of_steps() -> None:
    short, long = ([stable_decay_factor(step, steps) for step in range(steps)] for steps in (5000, 9000))
    assert short[0] == pytest.approx(1 / 500) and short[249] == pytest.approx(0.5)
    assert set(short[499:4001]) == {1.0} and short[:4001] == long[:4001]
    assert short[4500] == pytest.approx(0.5) and short[-1] == pytest.approx(1 / 1000)
    assert all(after <= before for before, after in pairwise(short[4000:]))
    assert 0 < stable_decay_factor(0, 1) <= 1


def test_the_one_cycle_factor_of_a_single_step_is_positive() -> None:
    assert 0 < one_cycle_factor(0, 1) <= 1


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0, 0.1), (2.5, 0.55), (5, 1), (54.99, 1), (55, 0.1), (67.99, 0.1), (68, 0.01), (79.99, 0.01)],
)
def test_step_decay_by_hand(epoch: float, factor: float) -> None:
    assert step_decay_factor(epoch, RETINAFACE_STEPS) == pytest.approx(factor)


def test_step_decay_without_warmup_starts_at_one() -> None:
    assert step_decay_factor(0, StepSchedule(warmup_epochs=0, warmup_start_factor=0.5, milestones=())) == 1
