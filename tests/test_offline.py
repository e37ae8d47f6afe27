"""Nothing leaves the machine, and nothing is written outside the project: every command, page, API, MLflow, DVC."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.cli_workspace import save_calibration, save_small_model
from helpers.command_line import orl_image
from helpers.network import is_this_machine, traced_addresses
from onelook.cli import app
from onelook.data.image_io import write_image
from onelook.media.video_io import VideoWriter

PROGRAM = Path(__file__).parent / "helpers/offline_program.py"
# They need a recognizer and sets of faces; the run ends at the first of them that is missing.
ENDS_EARLY = {"collect-faces", "turn-faces"}
STRACE = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]


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


def test_no_command_reaches_another_machine_or_writes_elsewhere(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("nicegui", reason="needs onelook[page,api]")
    pytest.importorskip("prometheus_client", reason="needs onelook[page,api]")
    elsewhere = [tmp_path / name for name in ("home", "temporary", "shared")]
    for each in elsewhere:
        each.mkdir()
    hidden = re.compile("ORT_|MLFLOW_|DVC_|RAY_|XDG_|MPL|DO_NOT_TRACK|PYTEST_")
    environment = {name: value for name, value in os.environ.items() if not hidden.match(name)}
    environment |= {"HOME": str(elsewhere[0]), "TMPDIR": str(elsewhere[1]), "DVC_SITE_CACHE_DIR": str(folder / "site")}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(folder)]
    trace = tmp_path / "trace"
    if shutil.which("strace") and subprocess.run([*STRACE, os.devnull, "true"], check=False).returncode == 0:
        command = [*STRACE, str(trace), *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert {name: code for name, code in result["codes"].items() if code} == dict.fromkeys(ENDS_EARLY, 1), done.stderr
    assert {command.name for command in app.registered_commands} <= set(result["codes"])
    assert result["attempts"] == []
    assert not trace.exists() or traced_addresses(trace.read_text()) == []
    assert [str(path) for each in elsewhere for path in each.rglob("*")] == []


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
