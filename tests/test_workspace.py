"""Paths of data from a copy of the workspace as DVC makes one for an experiment."""

from pathlib import Path

import pytest

from onelook.data.readers.folder import read_folder
from onelook.errors import ModelError
from onelook.model.recognizer import read_onnx
from onelook.settings import FolderSettings
from onelook.workspace import link_ignored_photos, project_root, workspace_path


def _project(folder: Path) -> Path:
    (folder / ".dvc").mkdir(parents=True)
    return folder


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into an experiment's copy, which has the README alone of a workspace's photos."""
    original = _project(tmp_path / "project")
    copy = _project(original / ".dvc" / "tmp" / "exps" / "tmp_abc")
    for name in ("Ada/1.jpg", "Ada/2.jpg", "Grace/1.jpg", "README.md"):
        path = original / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of the workspace, {name}")
    (copy / "photos").mkdir()
    (copy / "photos" / "README.md").write_text("of the copy")
    monkeypatch.chdir(copy)
    return copy


def test_the_root_is_the_nearest_project(tmp_path: Path) -> None:
    inner = _project(_project(tmp_path / "outer") / "inner")
    (inner / "a" / "b").mkdir(parents=True)
    assert project_root(inner / "a" / "b") == inner
    assert project_root(inner) == inner


def test_the_root_of_an_experiments_copy_is_the_workspace(tmp_path: Path, copy: Path) -> None:
    assert project_root(copy) == tmp_path / "project"
    (copy / "stages").mkdir()
    assert project_root(copy / "stages") == tmp_path / "project"


def test_outside_a_project_the_root_is_the_folder_itself(tmp_path: Path) -> None:
    assert project_root(tmp_path) == tmp_path


def test_data_that_a_copy_lacks_is_that_of_the_workspace(tmp_path: Path, copy: Path) -> None:
    (tmp_path / "shared").mkdir()
    assert workspace_path("../shared").resolve() == tmp_path / "shared"
    assert workspace_path("photos") == Path("photos")  # the copy has one
    assert workspace_path("../nowhere") == Path("../nowhere")  # as typed in the error
    assert workspace_path(tmp_path / "shared") == tmp_path / "shared"
    (tmp_path / "shared" / "teacher.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"^\.\./other\.onnx: not an ONNX file"):
        read_onnx("../other.onnx")
    assert not read_onnx("../shared/teacher.onnx").graph.node


def test_the_workspaces_photos_are_read_in_a_copy(tmp_path: Path, copy: Path) -> None:
    link_ignored_photos(Path("photos"))
    images = read_folder(FolderSettings(min_images=1)).images
    assert [image.source for image in images] == ["Ada/1.jpg", "Ada/2.jpg", "Grace/1.jpg"]
    assert Path("photos/Ada/1.jpg").samefile(tmp_path / "project/photos/Ada/1.jpg")  # linked, not copied
    assert Path("photos/README.md").read_text() == "of the copy"


def test_photos_that_dvc_has_put_into_the_copy_are_left_alone(copy: Path) -> None:
    (copy / "photos" / "Alan").mkdir()
    link_ignored_photos(Path("photos"))
    assert sorted(entry.name for entry in (copy / "photos").iterdir()) == ["Alan", "README.md"]


def test_nothing_is_linked_in_the_workspace_itself(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project_root(copy)
    monkeypatch.chdir(root)
    for folder in (Path("photos"), root / "photos", Path("absent")):
        link_ignored_photos(folder)
    assert len(list((root / "photos").rglob("*"))) == 6
