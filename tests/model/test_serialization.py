import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError
from onelook.files import sha256
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import SETTINGS, WEIGHTS, fingerprint
from onelook.model.serialization import load_model, save_model

MODEL = light_model(tiny_embedding(8), fpn_channels=16)


@pytest.fixture
def network() -> JointNetwork:
    torch.manual_seed(3)
    return JointNetwork(MODEL)


def test_saved_network_is_loaded_bit_for_bit(network: JointNetwork, tmp_path: Path) -> None:
    save_model(tmp_path, network)
    loaded = load_model(tmp_path)
    assert loaded.settings == network.settings and not loaded.training
    image = torch.randint(0, 256, (1, 3, 64, 64))
    with torch.inference_mode():
        assert loaded(image).anchor_outputs.logits.equal(network.eval()(image).anchor_outputs.logits)


def test_folder_of_format_2_is_loaded(network: JointNetwork, tmp_path: Path) -> None:
    """It has the former names of parameters and settings."""
    save_model(tmp_path, network)
    state = {former_name(name): value for name, value in load_file(tmp_path / WEIGHTS).items()}
    save_file(state, tmp_path / WEIGHTS)
    model = MODEL.model_dump(mode="json")
    former = {"form": "architecture", "width": "width_mult", "levels": "pyramid_levels", "pyramid": "fpn_channels"}
    model |= {old: model.pop(new) for old, new in former.items()} | {"start": "nothing"}
    del model["init"]
    embedding = model["embedding"]
    embedding |= {old: embedding.pop(new) for old, new in {"size": "dim", "gather": "gdc_channels"}.items()}
    embedding["grid"] = embedding.pop("grid_size")
    model["grid"]["side"] = model["grid"].pop("image_size")
    description = {"format": 2, "model": model, "weights_sha256": sha256(tmp_path / WEIGHTS)}
    (tmp_path / SETTINGS).write_text(json.dumps(description))
    loaded = load_model(tmp_path)
    assert loaded.settings == network.settings
    assert list(loaded.state_dict()) == list(network.state_dict())
    assert all(value.equal(network.state_dict()[name]) for name, value in loaded.state_dict().items())


def former_name(name: str) -> str:
    former = {
        "detector.backbone.": "detector.trunk.",
        "detector.normalize.mean": "detector.pixel_mean",
        "detector.fpn.smooth.": "detector.pyramid.merge.",
        "detector.fpn.": "detector.pyramid.",
        ".conv3x3.": ".near.",
        ".conv5x5_1.": ".step.",
        ".conv5x5_2.": ".middle.",
        ".conv7x7_2.": ".far_step.",
        ".conv7x7_3.": ".far.",
        "embedding.fusion.": "embedding.fuse.",
        "embedding.expand.": "embedding.widen.",
        "embedding.gdc.": "embedding.gather.",
        "embedding.projection.": "embedding.out.",
    }
    for new, old in former.items():
        name = name.replace(new, old)
    return name


def test_same_network_gives_the_same_bytes_and_another_one_another_fingerprint(
    network: JointNetwork, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        if name == "c":
            with torch.no_grad():
                network.detector.normalize.mean[0] += 1
        save_model(tmp_path / name, network)
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b") != fingerprint(tmp_path / "c")


@pytest.mark.parametrize("name", [WEIGHTS, SETTINGS])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped"])
def test_damaged_model_is_refused_in_one_line(network: JointNetwork, tmp_path: Path, name: str, damage: str) -> None:
    save_model(tmp_path, network)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = bytes([content[0] ^ 255]) + content[1:]
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "flipped": flipped}[damage])
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_error_for_a_missing_folder_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="dvc repro"):
        load_model(tmp_path / "nowhere")


def test_settings_of_another_network_are_refused(network: JointNetwork, tmp_path: Path) -> None:
    save_model(tmp_path, network)
    path = tmp_path / SETTINGS
    path.write_text(path.read_text().replace('"fpn_channels": 16', '"fpn_channels": 24'))
    with pytest.raises(ModelError, match="do not fit together"):
        load_model(tmp_path)


def test_failed_save_leaves_the_old_model(network: JointNetwork, tmp_path: Path) -> None:
    """A limit on the size of files simulates a full disk."""
    folder = tmp_path / "model"
    save_model(folder, network)
    before = fingerprint(folder)
    program = (
        "import resource, signal\nfrom pathlib import Path\nfrom onelook.errors import OnelookError\n"
        "from onelook.model.serialization import load_model, save_model\n"
        f"folder = Path({str(folder)!r})\nnetwork = load_model(folder)\nnetwork.detector.normalize.mean += 1\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    save_model(folder, network)\nexcept OnelookError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "nothing was changed" in done.stdout and done.stdout.count("\n") == 1
    assert fingerprint(folder) == before and [path.name for path in tmp_path.iterdir()] == ["model"]
