"""Presets: the settings of a paper, written into a params.yaml.

A preset is `<name>.yaml` in this folder; its first line is a comment with its description.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from onelook.errors import SettingsError
from onelook.files import write_text
from onelook.settings import parse_settings

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Change:
    """A key of params.yaml with its old and new value, as text."""

    key: str
    old: str
    new: str


def presets() -> dict[str, str]:
    """Return the one-line description of each preset by name."""
    files = sorted(_FOLDER.glob("*.yaml"))
    return {file.stem: file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for file in files}


def apply_preset(name: str, path: Path) -> list[Change]:
    """Write a preset's values into the params.yaml at `path`.

    Comments, order and all other values stay.

    Returns:
        The keys whose value changed, in the preset's order.

    Raises:
        SettingsError: there is no such preset, the file cannot be read or lacks a key, or the values do not fit the
            others in it. The file is then as it was.
    """
    if name not in presets():
        raise SettingsError(f"{name}: no such preset; there are {', '.join(presets())}")
    yaml = _round_trip()
    wanted = yaml.load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read; run this where params.yaml is") from error
    parse_settings(text, path)  # errors in the file are reported before it changes
    tree = yaml.load(text)
    changes = []
    for keys, new in _leaves(wanted):
        section = _section(tree, keys, path)
        old = section[keys[-1]]
        if old != new:
            section[keys[-1]] = _styled_like(old, new)
            changes.append(Change(".".join(keys), _shown(old), _shown(new)))
    changed = io.StringIO()
    yaml.dump(tree, changed)
    parse_settings(changed.getvalue(), path)
    if changes:
        write_text(path, changed.getvalue(), private=False)
    return changes


def _section(tree: Any, keys: tuple[str, ...], path: Path) -> Any:
    """Return the section of a file's tree that has the last of the keys."""
    section = tree
    for number, key in enumerate(keys, start=1):
        if key not in section:
            lacking = ".".join(keys[:number])
            raise SettingsError(f"{path}: {lacking} is absent; `onelook complete-params` adds what is absent")
        if number < len(keys):
            section = section[key]
    return section


def _leaves(tree: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _styled_like(old: Any, new: Any) -> Any:
    """Return `new` in the style of `old`: lists on one line, with the old comment."""
    if not isinstance(new, list):
        return new
    placed = CommentedSeq(new)
    placed.fa.set_flow_style()
    if isinstance(old, CommentedSeq):
        old.copy_attributes(placed)
    return placed


def _shown(value: Any) -> str:
    text = io.StringIO()
    _round_trip().dump({"": value}, text)
    return text.getvalue().split(":", 1)[1].split("#")[0].strip()


def _round_trip() -> YAML:
    """Return a YAML reader and writer that keeps comments, quotes and long lines."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000
    # The default writes null as an empty string.
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar(_NULL, "null"))
    return yaml


_NULL = "tag:yaml.org,2002:null"
