"""Each damaged file is read, or refused by an `OnelookError` of one line, in bounded memory and time."""

import json
import os
import subprocess
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the limits of the process are those of Linux", allow_module_level=True)

from fuzz.all_formats import FORMATS


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Check all formats in a process of their own: a fork of one with threads, as other tests leave, may hang."""
    command = [sys.executable, "-m", "fuzz", str(tmp_path_factory.mktemp("fuzz"))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(name: str, failures: dict[str, str]) -> None:
    assert name not in failures, failures[name]
