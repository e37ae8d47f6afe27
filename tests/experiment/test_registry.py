from pathlib import Path

import pytest

from onelook.errors import ModelError
from onelook.experiment.registry import RegisteredVersion, read_artifact_folders

PATHS = """\
flavors:
  python_function:
    artifacts:
      gallery: {path: %s, uri: /elsewhere}
      model: {path: artifacts/model, uri: /elsewhere}
utc_time_created: '2026-11-30 02:25:30.711007'
"""


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Return the folder of a logged model with a model, a gallery, a link out of it and a link to itself."""
    for name in ("model", "gallery"):
        (tmp_path / "version/artifacts" / name).mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "version/out").symlink_to(tmp_path / "outside")
    (tmp_path / "version/circle").symlink_to("circle")
    return tmp_path / "version"


def test_the_folders_of_a_version_are_those_that_its_mlmodel_file_names(version: Path) -> None:
    (version / "MLmodel").write_text(PATHS % "artifacts/gallery")
    expected = RegisteredVersion(model=version / "artifacts/model", gallery=version / "artifacts/gallery")
    assert read_artifact_folders(version) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("flavors: " + "[" * 20_000, "lists and mappings inside one another"),
        ("flavors: {python_function: [1}", "expected"),
        ("", "no path of the artifact model"),
        ("flavors: {python_function: {artifacts: null}}", "no path of the artifact model"),
        ("flavors: {python_function: {artifacts: [model, gallery]}}", "no path of the artifact model"),
        ("flavors: {python_function: {artifacts: {model: {path: 5}}}}", "no path of the artifact model"),
        (PATHS % "[artifacts, gallery]", "no path of the artifact gallery"),
        ("flavors: a\0b", "#x0000"),
        (PATHS % '"a\\0b"', "null character"),
        ("a: &a {path: artifacts/model}\nflavors: {python_function: {artifacts: {model: *a}}}", "line 2: an alias"),
        (PATHS % "../outside", "../outside: leaves the folder of the version"),
        (PATHS % "/etc", "/etc: leaves the folder of the version"),
        (PATHS % "out", "out: leaves the folder of the version"),
        (PATHS % "circle", "circle"),
        (PATHS % "absent", "absent: no such folder"),
        (PATHS % ("x" * 5000), "File name too long"),
        (b"flavors: \xff", "utf-8"),
        (b"#" * 2**21, "larger than 1 MiB"),
    ],
)
def test_a_crafted_mlmodel_file_is_refused_in_one_line(version: Path, content: str | bytes, message: str) -> None:
    (version / "MLmodel").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ModelError) as caught:
        read_artifact_folders(version)
    line = str(caught.value)
    assert line.startswith(f"{version / 'MLmodel'}: cannot be used (") and message in line, line
    assert "\n" not in line and line.endswith("; `onelook register` makes a new version") and len(line) < 600
