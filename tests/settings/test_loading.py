"""Reading params.yaml: what cannot be used stops with the key and what is allowed."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from onelook.errors import SettingsError
from onelook.settings import Settings, load_settings


def _leaves(tree: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the dotted key and the value of every setting that is no section."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.fixture
def tree(project: Path) -> dict:
    return yaml.safe_load((project / "params.yaml").read_text())


def error_message(tree: object, folder: Path) -> str:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    return str(caught.value)


def test_params_yaml_is_valid_and_complete(project: Path, tree: dict) -> None:
    settings = load_settings(project / "params.yaml")
    assert settings.prepare.split.train == 0.6
    assert yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json"))) == Settings.model_validate(tree).model_dump(
        mode="json"
    )


def test_the_known_keys_of_a_section_are_named_once(tmp_path: Path) -> None:
    lines = error_message({"index": {"a": 1, "b": 2}, "tracking": {"c": 3}}, tmp_path).splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [
        "index.a: unknown key; known here: split",
        "index.b: unknown key",
        "tracking.c: unknown key; known here: pictures",
    ]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (
            {"train": {"epochz": 3}},
            "train.epochz: unknown key; known here: accumulation_steps, augment, backbone_lr_mult",
        ),
        ({"train": {"epochs": "many"}}, "train.epochs: 'many' is impossible"),
        ({"base": {"device": "gpu"}}, "base.device: 'gpu' is impossible: name auto, cpu, cuda, cuda:N or mps"),
        ({"train": {"epochs": 0}}, "train.epochs: 0 is impossible: Input should be greater than 0"),
        ({"train": {"task_weighting": "fair"}}, "Input should be 'fixed' or 'learned'"),
        (
            {"prepare": {"reader": "vggface"}},
            "prepare.reader: 'vggface' is impossible: Input should be 'orl', 'folder', 'lfw', 'celeba', 'recordio', "
            "'wider' or 'json_annotations'",
        ),
        ({"prepare": {"celeba": {"images": "all"}}}, "prepare.celeba.images: 'all' is impossible"),
        ({"prepare": {"split": {"train": 0.9}}}, "prepare.split: is impossible: train + validation + test must be 1"),
        ({"prepare": {"compose": {"faces_per_scene": [5, 2]}}}, "faces_per_scene: the first number is the fewest"),
        ({"train": {"matching": {"negative": 0.9}}}, "negative must not be above positive"),
        ({"train": {"identity": {"loss": "dreamface"}}}, "Input should be 'arcface', 'cosface', 'sphereface'"),
        ({"train": {"identity": {"scale": 0}}}, "train.identity.scale: 0 is impossible"),
        ({"train": {"identity": {"oim": {"queue": 0}}}}, "train.identity.oim.queue: 0 is impossible"),
        ({"train": {"identity": {"combined": {"m2": 0, "m3": 0}}}}, "no margin at all is loss: normalized"),
        ({"train": {"identity": {"loss": "triplet"}, "faces": {"batch_size": 2}}}, "there is no triplet in it"),
        ({"train": {"faces": {"size": [20, 140]}}}, "size: needs 8 <= smallest <= largest <= 0.8 of crop_size"),
        ({"train": {"faces": {"degrade": {"blur": 2}}}}, "train.faces.degrade.blur: 2 is impossible"),
        ({"teacher": {"others": [{"path": "b.onnx"}]}}, "others: path names the first recognizer"),
        ({"baselines": ["yolo"]}, "baselines.0: 'yolo' is impossible: Input should be 'mtcnn', 'mobilefacenet'"),
        ({"baselines": ["mtcnn", "mtcnn"]}, "baselines: each once"),
        ({"mtcnn": {"updates_per_batch": 0}}, "mtcnn.updates_per_batch: 0 is impossible"),
        (
            {"baselines": ["mtcnn"], "train": {"batch_size": 0, "backbone_lr_mult": 0, "faces": {"batch_size": 8}}},
            "mtcnn is trained on scenes; set train.batch_size above 0",
        ),
        ({"model": {"embedding": {"sampling": "crop"}}}, "Input should be 'warp', 'roi' or 'center'"),
        (
            {"model": {"backbone": "resnet50"}},
            "model: is impossible: init: released fits the light network alone (backbone: mobilenet, "
            "pyramid_levels: light, context: plain, cascade: none); set init: random, or imagenet with a resnet",
        ),
        ({"model": {"context": "deformable"}}, "init: released fits the light network alone"),
        ({"model": {"cascade": True, "init": "checkpoint"}}, "init: checkpoint fits the light network alone"),
        ({"train": {"matching": {"cascade": {"second": {"positive": 0.3}}}}}, "negative must not be above positive"),
        ({"model": {"pyramid_levels": "full", "init": "wheel"}}, "init: wheel fits the light network alone"),
        ({"model": {"init": "imagenet"}}, "init: imagenet fits a resnet"),
        (
            {"model": {"architecture": "grid", "init": "wheel"}},
            "init: wheel fits architecture: retinaface alone; set init: random, released or imagenet",
        ),
        (
            {"model": {"architecture": "grid", "backbone": "resnet18"}},
            "init: released fits a grid of the released backbone alone",
        ),
        ({"model": {"architecture": "grid", "init": "random", "cascade": "all"}}, "a grid has one stage of boxes"),
        ({"model": {"init": "random", "cascade": "some"}}, "Input should be 'none', 'all' or 'selective'"),
        (
            {"model": {"architecture": "grid", "init": "random"}, "train": {"weights": {"feature_supervision": 1}}},
            "model.architecture: grid has no levels to classify regions of",
        ),
        (
            {"model": {"architecture": "grid", "init": "random", "mesh": True}},
            "heads of architecture: retinaface; set both to false",
        ),
        (
            {"model": {"architecture": "yolo"}},
            "model.architecture: 'yolo' is impossible: Input should be 'retinaface' or 'grid'",
        ),
        ({"model": {"grid": {"scales": [5, 19]}}}, "model.grid: is impossible: scales: [5] or [5, 11, 19]"),
        (
            {"model": {"grid": {"image_size": 300}}},
            "model.grid.image_size: 300 is impossible: Input should be 160, 320, 640 or",
        ),
        (
            {"model": {"architecture": "grid", "init": "random"}, "train": {"faces": {"batch_size": 8}}},
            "they would all lie in one cell; set train.faces.batch_size: 0",
        ),
        (
            {"model": {"architecture": "grid", "init": "random"}, "teacher": {"path": "teacher.onnx"}},
            "model.architecture: grid has no tail to initialize; set teacher.init_tail: false",
        ),
        ({"train": {"augment": {"crop_size": 100}}}, "train.augment.crop_size: 100 is impossible"),
        ({"train": {"augment": {"short_edge": [0.8, 0.3]}}}, "short_edge: needs 0 < smallest <= largest <= 1"),
        (
            {"train": {"steps": {"milestones": [68, 55]}}},
            "milestones: each once, the smallest first, none within",
        ),
        (
            {"train": {"steps": {"milestones": [3, 55]}}},
            "milestones: each once, the smallest first, none within",
        ),
        ({"train": {"weights": {"landmarks": -1}}}, "train.weights.landmarks: -1 is impossible"),
        ({"train": {"batch_size": 3, "processes": 4}}, "processes is more than batch_size or faces.batch_size"),
        ({"detect": {"nms": float("nan")}}, "detect.nms"),
        ({"mlflow": {}}, "mlflow: unknown key; known here: base, baselines, detect, evaluate"),
    ],
)
def test_an_error_names_its_key_and_what_is_allowed(tree: dict, tmp_path: Path, change: dict, wanted: str) -> None:
    def merge(into: dict, what: dict) -> None:
        for key, value in what.items():
            if isinstance(value, dict) and key in into:
                merge(into[key], value)
            else:
                into[key] = value

    merge(tree, change)
    message = error_message(tree, tmp_path)
    assert wanted in message and "\n" not in message and "params.yaml" in message


INTERVALS = (
    "prepare.compose.faces_per_scene",
    "prepare.compose.face_size",
    "train.faces.size",
    "train.augment.zoom",
    "train.augment.short_edge",
)
NO_INTERVALS = ("model.embedding.widths", "model.embedding.depths", "train.steps.milestones")


@pytest.mark.parametrize("key", INTERVALS)
def test_an_interval_upside_down_is_refused(tree: dict, tmp_path: Path, key: str) -> None:
    *sections, name = key.split(".")
    section = tree
    for part in sections:
        section = section[part]
    section[name] = {"short_edge": [0.9, 0.3], "size": [100, 20]}.get(name) or section[name][::-1]
    message = error_message(tree, tmp_path)
    assert message.startswith(f"{tmp_path}/params.yaml: {'.'.join(sections)}: is impossible: {name}: ")


def test_every_pair_of_numbers_is_known_as_an_interval_or_not() -> None:
    pairs = {path for path, value in _leaves(Settings().model_dump()) if isinstance(value, tuple) and len(value) == 2}
    assert pairs | {"train.augment.short_edge", "train.faces.size"} == {
        *INTERVALS,
        *NO_INTERVALS,
        "train.steps.milestones",
    }


def test_every_problem_gets_a_line_of_its_own(tree: dict, tmp_path: Path) -> None:
    tree["train"]["epochs"] = 0
    tree["base"]["seed"] = -1
    lines = error_message(tree, tmp_path).splitlines()
    assert len(lines) == 2
    assert any("train.epochs: 0" in line for line in lines) and any("base.seed: -1" in line for line in lines)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "just text", "\x00"])
def test_a_file_that_is_no_settings_tree_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"params\.yaml"):
        load_settings(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "params.yaml")


def test_each_absent_key_takes_its_default(tree: dict, tmp_path: Path) -> None:
    """A params.yaml that was written before a key existed goes on with the default."""
    for key, _ in _leaves(tree):
        older = copy.deepcopy(tree)
        *sections, name = key.split(".")
        section = older
        for part in sections:
            section = section[part]
        del section[name]
        assert Settings.model_validate(older) == Settings(), key
    path = tmp_path / "params.yaml"
    del tree["train"]["faces"], tree["evaluate"]["bootstrap_samples"], tree["index"]
    path.write_text(yaml.safe_dump(tree))
    assert load_settings(path) == Settings()


def test_defaults_equal_the_committed_params_yaml(project: Path, tmp_path: Path) -> None:
    assert load_settings(project / "params.yaml") == Settings()
    empty = tmp_path / "params.yaml"
    empty.write_text("")
    assert load_settings(empty) == Settings()


def test_a_file_without_the_device_takes_the_best_one(tree: dict, tmp_path: Path) -> None:
    del tree["base"]["device"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    assert load_settings(path).base.device == "auto"
