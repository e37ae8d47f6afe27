"""Read params.yaml into `Settings`; errors name the key and what is allowed."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from onelook.errors import SettingsError
from onelook.settings.renamed_keys import RENAMED_KEYS, RENAMED_VALUES
from onelook.settings.schema import Settings
from onelook.untrusted import parse_yaml, printable, read_limited

_MAX_PROBLEMS = 10
_MAX_VALUE = 100
"""Characters of an impossible value that a message shows."""


def load_settings(path: Path) -> Settings:
    """Read and validate a params.yaml; keys that it lacks take their defaults.

    Raises:
        SettingsError: one line per problem, each with the file, the key's path and what is allowed there.
    """
    try:
        text = read_limited(path).decode("utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SettingsError(f"{path}: not YAML ({error})") from error
    return parse_settings(text, path)


def parse_settings(text: str, path: Path) -> Settings:
    """Validate the text of the params.yaml at `path`.

    Raises:
        SettingsError: as `load_settings`.
    """
    try:
        tree = parse_yaml(text)
    except ValueError as error:
        raise SettingsError(f"{path}: not YAML ({error})") from error
    try:
        return Settings.model_validate({} if tree is None else tree)
    except ValidationError as error:
        listed: set[tuple[int | str, ...]] = set()
        lines = [_explain(path, problem, listed) for problem in error.errors()[:_MAX_PROBLEMS]]
        if error.error_count() > len(lines):
            lines.append(f"{path}: and {error.error_count() - len(lines)} more problems")
        raise SettingsError("\n".join(lines)) from error


def _explain(path: Path, problem: Any, listed: set[tuple[int | str, ...]]) -> str:
    """Describe a problem in one line; `listed` are the sections whose keys a line names already."""
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        if where in RENAMED_KEYS:
            return f"{path}: {where}: this key is now called {RENAMED_KEYS[where]}; rename it"
        section = problem["loc"][:-1]
        known = "" if section in listed else f"; known here: {', '.join(_known_keys(section))}"
        listed.add(section)
        return f"{path}: {printable(where)}: unknown key{known}"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem["input"]
    if isinstance(value, str) and value in RENAMED_VALUES.get(where, {}):
        return f"{path}: {where}: {value!r} is now called {RENAMED_VALUES[where][value]!r}; rename it"
    shown = "" if isinstance(value, dict | BaseModel) else f" {_shorten(repr(value))}"
    return f"{path}: {where}:{shown} is impossible: {message}"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: Any = Settings
    for part in location:
        section = section.model_fields[str(part)].annotation
    return sorted(section.model_fields)
