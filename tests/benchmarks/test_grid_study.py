"""The grid study: split, mosaics, metrics, resumable trainings, and the command as a whole."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

import grid_metrics
import grid_study
import grid_training
from grid_data import PASSES, SIDE, ClosedSet, draw_groups, people_of, read_closed_set, read_mosaics
from grid_embeddings import draw_pairs, is_nearest_right, unseen_intervals
from grid_metrics import Faces, Interval, classify, match_faces, mean_intervals
from grid_study import VARIANTS
from grid_training import Training, Variant, load_training, train

from helpers.celeba_crops import write_celeba_crops
from onelook.data.scene_dataset import read_training_image
from onelook.detections import Detections
from onelook.training.callbacks import Callbacks

TINY = {"model.grid.channels": 16, "train.batch_size": 4, "train.epochs": 2, "train.checkpoint_steps": 1}


@pytest.fixture(autouse=True)
def restored_determinism():
    """Restore thread counts and the determinism flag that a training sets."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


@pytest.fixture(scope="module")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_celeba_crops(tmp_path_factory.mktemp("data") / "faces/celeba", known=5, unseen=3)


@pytest.fixture(scope="module")
def known(celeba: Path) -> ClosedSet:
    return read_closed_set(celeba)


def detections(boxes: list[list[float]], scores: list[float]) -> Detections:
    """Return detections whose landmarks are all at the first corner of their boxes."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    landmarks = np.repeat(corners[:, None, :2], 5, axis=1)
    return Detections(corners, np.array(scores, np.float32), landmarks, np.zeros((len(boxes), 0), np.float32))


def test_closed_set_shares_people_and_no_photo(known: ClosedSet, celeba: Path) -> None:
    parts = [known.train, known.validation, known.test]
    assert all(people_of(part) == [f"{i:05d}" for i in range(5)] for part in parts)
    assert [len(part.scenes) for part in known] == [25, 5, 10, 9]
    assert set(Counter(scene.faces[0].identity for scene in known.test.scenes).values()) == {2}
    images = [scene.image for part in known for scene in part.scenes]
    assert len(set(images)) == len(images)
    assert not set(people_of(known.unseen)) & set(people_of(known.train))
    assert [s.image for s in read_closed_set(celeba).test.scenes] == [s.image for s in known.test.scenes]
    assert [s.image for s in read_closed_set(celeba, seed=1).test.scenes] != [s.image for s in known.test.scenes]


def test_groups_have_different_people_and_each_photo_once(known: ClosedSet) -> None:
    groups = list(draw_groups(known.train.scenes, np.random.default_rng(3)))
    assert all(len({scene.faces[0].identity for scene in group}) == 4 for group in groups)
    images = [scene.image for group in groups for scene in group]
    assert len(set(images)) == len(images) and len(groups) >= 5


def test_mosaic_shows_its_photos_with_moved_labels(known: ClosedSet, tmp_path: Path) -> None:
    mosaics = read_mosaics(tmp_path / "mosaics", known.test, "test")
    originals = {scene.image: scene for scene in known.test.scenes}
    assert PASSES["test"] <= len(mosaics.scenes) and all(len(scene.faces) == 4 for scene in mosaics.scenes)
    image = read_training_image(mosaics.path(mosaics.scenes[0]))
    for number, face in enumerate(mosaics.scenes[0].faces):
        x, y = SIDE * (number % 2), SIDE * (number // 2)
        original = originals[face.source]
        tile = read_training_image(known.test.path(original)).astype(int)
        assert np.abs(image[y : y + SIDE, x : x + SIDE] - tile).mean() < 8  # one more JPEG
        moved = face.box.reshape(2, 2) - original.faces[0].box.reshape(2, 2)
        np.testing.assert_allclose(moved, [[x, y], [x, y]], atol=1e-3)
        np.testing.assert_allclose(face.landmarks - original.faces[0].landmarks, [[x, y]] * 5, atol=1e-3)
        assert face.identity == original.faces[0].identity
    written = mosaics.path(mosaics.scenes[0]).stat().st_mtime_ns
    again = read_mosaics(tmp_path / "mosaics", known.test, "test")
    assert again.path(again.scenes[0]).stat().st_mtime_ns == written


def test_only_as_many_boxes_count_as_there_are_faces() -> None:
    labels = Faces(
        np.array([0, 1, 1, 2]),
        np.array([[0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 10]], np.float32),
        np.zeros((4, 5, 2), np.float32),
        np.arange(4),
    )
    found = match_faces(
        [
            detections([[50, 50, 60, 60], [0, 0, 10, 10]], [0.9, 0.8]),  # the best box is wrong
            detections([[20, 0, 30, 5], [0, 0, 10, 8], [20, 0, 30, 10]], [0.9, 0.8, 0.7]),
            detections([[0, 0, 10, 10]], [0.49]),
        ],
        labels,
    )
    assert found.ious.tolist() == pytest.approx([0, 0.8, 0.5, 0])
    assert found.is_found.tolist() == [False, True, True, False]
    assert found.landmarks[1:3, 0].tolist() == [[0, 0], [20, 0]]
    assert np.isnan(found.landmarks[[0, 3]]).all()


def test_classify_returns_the_nearest_center_and_none_for_a_missed_face() -> None:
    rng = np.random.default_rng(0)
    centers, embeddings = rng.normal(size=(7, 4)), rng.normal(size=(20, 4))
    expected = [max(range(7), key=lambda k: float(row @ centers[k])) for row in embeddings]
    embeddings[3] = np.nan
    expected[3] = -1
    assert classify(embeddings, centers).tolist() == expected


def test_intervals_are_over_people_and_seeds() -> None:
    people = np.repeat(np.arange(40), 2)
    of_person = np.repeat(np.arange(40) % 2, 2).astype(float)[None].repeat(4, 0)
    of_face = np.tile([0.0, 1.0], 40)[None].repeat(4, 0)
    of_seed = np.array([0.0, 0.0, 1.0, 1.0])[:, None].repeat(80, 1)
    known = mean_intervals({"person": of_person, "face": of_face, "seed": of_seed}, people)
    assert all(each.value == 0.5 for each in known.values())
    assert known["face"].low == known["face"].high == 0.5  # each person has one of either kind
    # The standard error of 40 people is .079.
    assert known["person"].high - known["person"].low == pytest.approx(2 * 1.96 * 0.079, rel=0.1)
    assert known["person"].equivalence_high - known["person"].equivalence_low == pytest.approx(0.26, rel=0.1)
    assert (known["seed"].low, known["seed"].high) == (0, 1)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.02, 0.029, True), (-0.031, 0.01, False), (0.01, 0.031, False), (0.031, 0.05, False)],
)
def test_equivalence_needs_the_whole_interval_within_the_margin(low: float, high: float, verdict: bool) -> None:
    assert Interval(0, -1, 1, low, high).is_equivalent is verdict


def test_embeddings_of_unseen_people() -> None:
    people = np.repeat(np.arange(12), 4)
    pairs, same = draw_pairs(people)
    assert same.sum() == (~same).sum() == 12 * 6 and len({tuple(pair) for pair in pairs}) == len(pairs)
    assert ((people[pairs[:, 0]] == people[pairs[:, 1]]) == same).all()
    perfect = np.eye(12, dtype=np.float32)[people]
    swapped = perfect.copy()
    swapped[0] = 0.8 * perfect[-1] + 0.6 * perfect[0]
    assert is_nearest_right(perfect, people).all()
    assert is_nearest_right(swapped, people).tolist() == [False, *[True] * 47]
    noise = np.random.default_rng(0).normal(size=(3, 48, 8)).astype(np.float32)
    known = unseen_intervals({"perfect": perfect[None], "noise": noise}, people)
    assert known["perfect"]["accuracy"].low == known["perfect"]["rank1"].low == 1
    assert known["noise"]["accuracy"].low < 0.5 < known["noise"]["accuracy"].high


def test_interrupted_training_continues_and_a_finished_one_is_not_repeated(
    known: ClosedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training("joint", Variant("joint", False, TINY), 3)
    expected = train(training, known.train, known.validation, tmp_path / "undisturbed")
    validation_callbacks = grid_training.validation_callbacks

    def interrupted(*arguments: object) -> Callbacks:
        def stop(epoch: int, step: int) -> None:
            if (epoch, step) == (2, 3):
                raise KeyboardInterrupt

        return Callbacks(validation_callbacks(*arguments).validate, on_step_end=stop)

    monkeypatch.setattr(grid_training, "validation_callbacks", interrupted)
    with suppress(KeyboardInterrupt):
        train(training, known.train, known.validation, tmp_path / "killed")
    assert not training.folder(tmp_path / "killed").exists()
    monkeypatch.setattr(grid_training, "validation_callbacks", validation_callbacks)
    steps = []
    train_step = grid_training.Trainer.train_step
    monkeypatch.setattr(
        grid_training.Trainer, "train_step", lambda *arguments: steps.append(1) or train_step(*arguments)
    )
    found = train(training, known.train, known.validation, tmp_path / "killed")
    assert len(steps) == 4  # the last checkpoint is that of step 2 of 6
    (network, centers), (resumed, resumed_centers) = load_training(expected), load_training(found)
    states = zip(network.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(a.equal(b) for a, b in states) and (centers == resumed_centers).all()
    assert (expected / "history.json").read_text() == (found / "history.json").read_text()
    assert not list((tmp_path / "killed/checkpoints").iterdir())
    monkeypatch.setattr(grid_training, "build_trainer", lambda *arguments: pytest.fail("trained again"))
    other = Training("joint", Variant("joint", False, {**TINY, "train.epochs": 3}), 3)
    assert other.folder(tmp_path / "killed") != found
    assert train(training, known.train, known.validation, tmp_path / "killed") == found


def run_in_this_process(trainings: Sequence[Training], data: Path, out: Path, jobs: int) -> None:
    for training in trainings:
        grid_study.run(training, data, out)


def test_command_measures_all_variants_and_rewrites_its_page(
    celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "grid_study.md"
    document.write_text(f"before\n\n{grid_study.BEGIN}\n\nold\n\n{grid_study.END}\nafter\n")
    monkeypatch.setattr(grid_study, "DOCUMENT", document)
    monkeypatch.setattr(grid_study, "PICTURE", tmp_path / "grid_study.png")
    monkeypatch.setattr(grid_study, "SEEDS", 1)
    monkeypatch.setattr(grid_metrics, "RESAMPLES", 20)
    monkeypatch.setattr(grid_training, "COMMON", {**grid_training.COMMON, **TINY, "train.epochs": 1})
    monkeypatch.setattr(grid_training, "MOSAIC", {**grid_training.MOSAIC, "train.epochs": 1})
    monkeypatch.setattr(
        grid_study,
        "run_all",
        lambda trainings, data, out, jobs: [grid_study.run(each, data, out) for each in trainings],
    )
    command = ["grid_study.py", "--data", str(celeba.parents[1]), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    grid_study.main()
    text = document.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text and "nan" not in text
    assert text.count("| joint: one network |") == 1 and capsys.readouterr().out.strip() in text
    assert (tmp_path / "grid_study.png").stat().st_size > 10_000
    folders = [path for path in (tmp_path / "out").iterdir() if (path / "model").exists()]
    assert len(folders) == len(VARIANTS)
    histories = [json.loads((path / "history.json").read_text()) for path in folders]
    assert all(len(history) == 1 for history in histories)
