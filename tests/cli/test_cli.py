import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import onelook
from helpers.command_line import Run
from onelook import cli


def test_help_imports_no_heavy_library(workspace: Path) -> None:
    code = (
        "import sys\nfrom onelook.cli import main\nsys.argv = ['onelook', '--help']\n"
        "try: main()\nfinally: print(sorted({'torch', 'faiss', 'cv2', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "identify" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_characters_missing_in_the_encoding_are_escaped(run: Run, workspace: Path) -> None:
    run("enroll", "王小明", "s1.png")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", "from onelook.cli import main; main()", "gallery"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout.split(b"\t")[0]) == (0, rb"\u738b\u5c0f\u660e")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_exits_in_silence_and_leaves_nothing(
    workspace: Path, number: signal.Signals, code: int
) -> None:
    # A shell starts background processes with SIGINT ignored, and their children inherit it.
    # torch is loaded first: an interrupt while its extension module is being loaded aborts the process with SIGABRT.
    program = (
        "import signal, torch; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from onelook.cli import main; print('imported', flush=True); main()"
    )
    command = [sys.executable, "-c", program, "enroll", "A", *["s1.png"] * 4000]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=workspace)
    assert process.stdout is not None and process.stdout.readline() == b"imported\n"
    time.sleep(1)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert not (workspace / "gallery").exists()


@pytest.mark.parametrize("command", ["identify", "enroll-all", "group", "serve", "preset", "export-model"])
def test_every_command_has_verbosity_options(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0 and "--verbose" in out and "--quiet" in out
    assert "[default: 0]" not in out


def test_quiet_suppresses_warnings_and_keeps_results(run: Run) -> None:
    run("enroll", "Anna", "s1.png")
    code, out, err = run("enroll", "Anna", "s1.png", "--quiet")
    assert (code, out, err) == (0, "Anna: 0 photos enrolled, 1 in all, in gallery\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device of a full disk")
@pytest.mark.parametrize("arguments", [["--help"], ["preset"]])
def test_output_on_a_full_disk_ends_in_one_line(arguments: list[str]) -> None:
    command = [sys.executable, "-c", "from onelook.cli import main; main()", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: the output cannot be written (No space left on device)\n"


def test_the_version_is_printed(run_released: Run) -> None:
    assert run_released("--version") == (0, f"onelook {onelook.__version__}\n", "")


def test_a_shell_completes_commands(run_released: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ONELOOK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "onelook enro")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run_released() == (0, "enroll\nenroll-all\n", "")


def test_closed_standard_output_is_no_error(project: Path) -> None:
    program = "exec " + shlex.join([sys.executable, "-c", "from onelook.cli import main; main()", "--help"]) + " >&-"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "out of memory; close other programs"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory; close other programs"),
        (PermissionError(13, "Permission denied", "x.jpg"), "x.jpg: cannot be read or written (Permission denied)"),
    ],
)
def test_errors_of_the_machine_end_in_one_line(
    run_released: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    def fail(**_: str) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    code, _, err = run_released("gallery")
    assert code == 1 and err.startswith(f"error: {line}") and err.count("\n") == 1
