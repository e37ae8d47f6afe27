from pathlib import Path

import pytest
import torch

from helpers.command_line import Run

COMMANDS = {
    "identify": ["identify", "s1.png"],
    "identify-all": ["identify-all", "s1.png", "--out", "found"],
    "enroll": ["enroll", "Bob", "s2.png"],
    "enroll into a new gallery": ["enroll", "Bob", "s2.png", "--gallery", "new"],
    "enroll-all": ["enroll-all", "people.csv"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unavailable_or_unknown_device_is_a_one_line_error(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    run("enroll", "Anna", "s1.png")
    Path("people.csv").write_text("name,photo\nBob,s2.png\n")
    code, out, err = run(*COMMANDS[command], "--device", "cuda")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("error: device cuda: torch ") and "install the CUDA build that https://pytorch.org" in err
    code, out, err = run(*COMMANDS[command], "--device", "gpu")
    assert (code, out) == (1, "")
    assert err == "error: device 'gpu': unknown; name auto, cpu, cuda, cuda:N or mps\n"


def test_the_processor_is_a_device(run: Run) -> None:
    assert run("enroll", "Anna", "s1.png", "--device", "cpu")[0] == 0
    by_default, on_cpu = (run("identify", "s1.png", *option) for option in ([], ["--device", "cpu"]))
    assert by_default == on_cpu and on_cpu[1].split("\t")[2] == "Anna"


@pytest.mark.parametrize(
    "command", ["detect", "embed", "verify", "find", "identify", "identify-all", "enroll", "enroll-all", "serve"]
)
def test_commands_that_open_a_model_have_the_option(run: Run, command: str) -> None:
    assert "--device" in run(command, "--help")[1]


def test_the_environment_names_the_model_to_use(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("enroll", "Anna", "s1.png")
    Path("build/model").rename("mine")
    assert run("identify", "s1.png")[0] == 1
    monkeypatch.setenv("ONELOOK_MODEL", "mine")
    assert run("identify", "s1.png")[1].split("\t")[2] == "Anna"
