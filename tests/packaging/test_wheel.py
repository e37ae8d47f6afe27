"""The wheel, built without git and run where the packages of the extras cannot be imported."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from helpers.dockerfile import ROOT, copied_names, wheel_command
from helpers.portraits import group, portrait
from onelook.media.video_io import VideoWriter

TRAINING = ("torch", "onnx", "dvc", "mlflow", "sklearn", "scipy", "matplotlib", "pandas", "psutil", "yaml", "ruamel")
# Python imports this module, where it finds one, before a program starts.
SITECUSTOMIZE = f"""
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {TRAINING!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as the Dockerfile does, from the files that it copies, and return it unpacked."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in copied_names():
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.onnx")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    command = [sys.executable, *wheel_command()[1:]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=source, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (source / "build/wheel").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return site


@pytest.fixture(scope="module")
def metadata(site: Path) -> Message:
    (file,) = site.glob("onelook-*.dist-info/METADATA")
    return message_from_bytes(file.read_bytes())


def onelook(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line of the unpacked wheel."""
    command = [sys.executable, "-m", "onelook", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def fetch(address: str) -> str:
    """Return a page of a server that is about to listen."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(address, timeout=60) as page:
                return page.read().decode()
        except URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_base_requirements_are_those_of_looking(metadata: Message) -> None:
    requirements = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [line for line in requirements if line.startswith(("torch", "onnx>", "dvc", "mlflow", "sci", "matpl"))]
    assert {line.partition(">")[0] for line in requirements} >= {"onnxruntime", "faiss-cpu", "pillow-heif"}


def test_licenses_of_code_and_weights_are_named_and_included(metadata: Message, site: Path) -> None:
    assert metadata["License-Expression"].startswith("MIT AND LicenseRef-onelook-weights")
    (folder,) = site.glob("onelook-*.dist-info/licenses")
    assert all((folder / name).is_file() for name in metadata.get_all("License-File", []))
    assert {"LICENSE", "LICENSE-WEIGHTS"} <= set(metadata.get_all("License-File", []))


def test_the_version_is_that_of_the_metadata(metadata: Message, site: Path, tmp_path: Path) -> None:
    done = onelook(site, tmp_path, "--version")
    assert (done.stdout, done.stderr) == (f"onelook {metadata['Version']}\n", "")


def answer(site: Path, folder: Path, *arguments: str) -> Any:
    """Return the JSON document that a command prints."""
    done = onelook(site, folder, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), arguments
    return json.loads(done.stdout)


def test_the_wheel_answers_and_serves_without_the_training_packages(site: Path, tmp_path: Path) -> None:
    for person in (3, 8):
        (tmp_path / f"people/person {person}").mkdir(parents=True)
        (tmp_path / f"people/person {person}/5.png").write_bytes(group((person, 5)))
    (tmp_path / "photo.png").write_bytes(group((3, 1), (8, 2), (20, 1)))
    (tmp_path / "example.png").write_bytes(group((3, 1)))
    (detected,) = answer(site, tmp_path, "detect", "photo.png")
    (embedded,) = answer(site, tmp_path, "embed", "photo.png")
    assert len(detected["faces"]) == 3
    assert [face["box"] for face in embedded["faces"]] == [face["box"] for face in detected["faces"]]
    compared = answer(site, tmp_path, "verify", "example.png", "people/person 3/5.png")
    assert compared["answer"] == "same person"
    found = answer(site, tmp_path, "find", "example.png", "people")["found"]
    assert [match["photo"] for match in found] == ["people/person 3/5.png"]
    enrolled = onelook(site, tmp_path, "enroll-all", "people")
    assert (enrolled.returncode, enrolled.stderr) == (0, "")
    (identified,) = answer(site, tmp_path, "identify", "photo.png", "--pictures", "drawn")
    assert sorted(str(face["name"]) for face in identified["faces"]) == ["None", "person 3", "person 8"]
    with VideoWriter(tmp_path / "film.avi", 10, (336, 296, 3)) as film:
        for _ in range(3):
            film.write(portrait(3, 1))
    watched = onelook(site, tmp_path, "watch", "film.avi")
    assert (watched.returncode, watched.stderr) == (0, "")
    assert [(track["name"], track["faces"]) for track in map(json.loads, watched.stdout.splitlines())] == [
        ("person 3", 3)
    ]
    refused = onelook(site, tmp_path, "export-model", "model.onnx")
    expected = "error: onelook export-model: needs onnx; `pip install 'onelook[train]'`\n"
    assert (refused.returncode, refused.stderr) == (1, expected)

    # NiceGUI starts differently if it detects pytest in its environment.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(site)
    command = [sys.executable, "-m", "onelook", "serve", "--api", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[1]
            assert "onelook" in fetch(address)
            assert json.loads(fetch(f"{address}/health")) == {"status": "ok"}
            assert {person["name"] for person in json.loads(fetch(f"{address}/api/v1/people"))["people"]} == {
                "person 3",
                "person 8",
            }
        finally:
            server.terminate()
