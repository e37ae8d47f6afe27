"""Completion: insert the keys that a params.yaml lacks, with their defaults.

A stage reads an absent key as its default, but DVC refuses to run a stage whose parameter is absent. Lines are inserted
into the text instead of writing the parsed tree, so that everything in the file stays byte for byte.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from onelook.errors import SettingsError
from onelook.files import atomic_file
from onelook.settings.loading import load_settings, parse_settings
from onelook.settings.schema import Settings
from onelook.settings.section import Section

_LINE_BREAK = re.compile(r"\r\n?|\n")
_NULL_DEFAULTS = frozenset({"fpn_channels"})
"""Keys whose default is null, which a validator of the section replaces by a value that depends on other keys."""
_Insertion = tuple[int, str]
"""Index into the text of the file, and what is inserted there."""


def complete_params(path: Path) -> dict[str, str]:
    """Insert every key that the params.yaml at `path` lacks.

    A key goes to the end of its section, an absent section to the end of the file. The settings stay the same.

    Returns:
        The inserted keys, dotted, in the order of the schema, with their values as YAML.

    Raises:
        SettingsError: as `load_settings`, or the form of the file does not permit insertions. The file is then as it
            was.
        OnelookError: as `atomic_file`.
    """
    settings = load_settings(path)
    tree = _defaults(Settings)
    text = path.read_bytes().decode("utf-8")
    root = yaml.compose(text, yaml.SafeLoader)
    added = dict(_missing_leaves(tree, root))
    if not added:
        return added
    completed = _insert(text, root, tree)
    try:
        is_same = parse_settings(completed, path) == settings
    except SettingsError:
        is_same = False
    if not is_same:
        raise SettingsError(f"{path}: keys cannot be inserted; write one key a line, as in the params.yaml of onelook")
    with atomic_file(path, private=False) as temporary:
        temporary.write_bytes(completed.encode("utf-8"))
    return added


def _defaults(section: type[Section]) -> dict[str, Any]:
    """Return the defaults of a section, nested."""
    defaults = {name: None if name in _NULL_DEFAULTS else field.default for name, field in section.model_fields.items()}
    return {name: _defaults(type(value)) if isinstance(value, Section) else value for name, value in defaults.items()}


def _missing_leaves(tree: dict[str, Any], node: yaml.Node | None, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the value of each setting that is absent from a mapping and its sections."""
    present = _values(node)
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _missing_leaves(value, present.get(name), f"{above}{name}.")
        elif name not in present:
            yield f"{above}{name}", _format_value(value)


def _insert(text: str, root: yaml.Node | None, tree: dict[str, Any]) -> str:
    """Return the text of a params.yaml with the keys of `tree` that it lacks."""
    found = _LINE_BREAK.search(text)
    line_break = found[0] if found else "\n"
    if not isinstance(root, yaml.MappingNode):  # nothing but comments
        start = "" if not text or text.endswith(("\n", "\r")) else line_break
        return text + start + "".join(line + line_break for line in _block_lines(tree))
    pieces, done = [], 0
    # The sort is stable: of insertions at one place, those of inner sections stay first.
    for index, inserted in sorted(_insertions(text, root, tree, line_break), key=lambda insertion: insertion[0]):
        pieces += [text[done:index], inserted]
        done = index
    return "".join((*pieces, text[done:]))


def _insertions(text: str, node: yaml.MappingNode, tree: dict[str, Any], line_break: str) -> Iterator[_Insertion]:
    """Yield the insertions into the sections of a mapping, then the one at its own end."""
    present = _values(node)
    for name, value in tree.items():
        inner = present.get(name)
        if isinstance(value, dict) and isinstance(inner, yaml.MappingNode):
            yield from _insertions(text, inner, value, line_break)
    missing = {name: value for name, value in tree.items() if name not in present}
    if not missing:
        return
    if node.flow_style:
        inside = _format_value(missing)[1:-1]
        yield (_end(node.value[-1][1]), f", {inside}") if node.value else (node.start_mark.index + 1, inside)
    else:
        indent = " " * node.value[0][0].start_mark.column
        yield _end_of_line(text, _end(node)), "".join(line_break + indent + line for line in _block_lines(missing))


def _values(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _end(node: yaml.Node) -> int:
    """Return the index after the last character of a node; the comments that follow are no part of it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:  # its own mark is at the next token
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _end_of_line(text: str, index: int) -> int:
    """Return the index of the line break after a value and its comment."""
    if text[:index].endswith(("\n", "\r")):  # a block scalar (| or >) ends with its line break
        return len(text[:index].removesuffix("\n").removesuffix("\r"))
    found = _LINE_BREAK.search(text, index)
    return found.start() if found else len(text)


def _block_lines(tree: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a section: nested sections indented by two spaces, lists on one line."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield f"{name}:"
            yield from (f"  {line}" for line in _block_lines(value))
        else:
            yield f"{name}: {_format_value(value)}"


def _format_value(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("...\n").rstrip("\n")
