"""Former settings keys: params.yaml stops with the new name, saved models are translated."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from onelook.errors import SettingsError
from onelook.settings import ModelSettings, load_settings
from onelook.settings.renamed_keys import RENAMED_KEYS, RENAMED_VALUES, translate


def nest(path: str, value: Any) -> dict:
    """Return `value` in a tree of sections, given the dotted path of its key."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


def load_error(tree: dict, folder: Path) -> str:
    """Return the message with which a params.yaml is refused."""
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    return str(caught.value)


# A key of a section that was itself renamed cannot be reached under its former path: the section stops first.
REACHABLE = sorted(key for key in RENAMED_KEYS if not any(key.startswith(f"{other}.") for other in RENAMED_KEYS))


@pytest.mark.parametrize("key", REACHABLE)
def test_a_former_key_stops_with_its_new_name(key: str, tmp_path: Path) -> None:
    message = load_error(nest(key, 1), tmp_path)
    assert f"{key}: this key is now called {RENAMED_KEYS[key]}; rename it" in message


@pytest.mark.parametrize(("key", "old"), [(key, old) for key, values in RENAMED_VALUES.items() for old in values])
def test_a_former_value_stops_with_its_new_name(key: str, old: str, tmp_path: Path) -> None:
    message = load_error(nest(key, old), tmp_path)
    assert f"{key}: {old!r} is now called {RENAMED_VALUES[key][old]!r}; rename it" in message


def test_translate_turns_a_former_model_section_into_todays_settings() -> None:
    embedding = {"size": 128, "gather": 512, "grid": 28, "strides": [2, 4, 8, 16], "depths": [2, 2]}
    former = {"form": "retinaface", "start": "wheel", "pyramid": 64, "levels": "light", "embedding": embedding}
    settings = ModelSettings.model_validate(translate(former, "model"))
    assert (settings.architecture, settings.init, settings.fpn_channels) == ("retinaface", "wheel", 64)
    assert (settings.embedding.dim, settings.embedding.grid_size, settings.embedding.gdc_channels) == (128, 28, 512)
    assert (settings.embedding.strides, settings.embedding.depths) == ((2, 4, 8, 16), (2, 2))


def test_translate_renames_values_and_keeps_unknown_keys() -> None:
    former = {"start": "nothing", "embedding": {"sampling": "centre", "size": 8}, "later": {"key": 1}}
    expected = {"init": "random", "embedding": {"sampling": "center", "dim": 8}, "later": {"key": 1}}
    assert translate(former, "model") == expected
    assert translate(expected, "model") == expected
