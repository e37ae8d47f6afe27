"""Process-wide settings are changed by the programs and by nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
REQUIRES_HUGE_PAGES = pytest.mark.skipif(not HUGE_PAGES.is_file(), reason="the kernel has no transparent huge pages")

_HAS_HUGE_PAGES = """
def has_huge_pages():
    flags = (line.split()[1:] for line in open("/proc/self/smaps") if line.startswith("VmFlags"))
    return any("hg" in each for each in flags)
"""

# Allocates and frees 64 MiB twice; counts the page faults of the second time.
_ALLOCATE_TWICE = """
import resource
from onelook.process import configure_process

def count_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

configure_process()
count_faults()
print(count_faults(), has_huge_pages())
"""

_LOAD_PREDICTOR = """
import ctypes, os, sys
import cv2, sklearn, torch  # the first two set variables of their own
environment, threads = dict(os.environ), torch.get_num_threads()
opened = []
class RecordedCDLL(ctypes.CDLL):
    def __getattr__(self, name):
        opened.append(name)
        return super().__getattr__(name)
ctypes.CDLL = RecordedCDLL
import numpy as np
import onelook
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings
predictor = onelook.load_torch_predictor(RELEASED)
predictor.predict([np.zeros((64, 64, 3), np.uint8)], DetectSettings(score=0.5, nms=0.4, longest_side=640))
assert dict(os.environ) == environment
assert torch.get_num_threads() == threads
assert "mallopt" not in opened and "madvise" not in opened
assert "onelook.process" not in sys.modules
"""


def run(program: str, **environment: str) -> list[str]:
    variables = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | environment
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@REQUIRES_HUGE_PAGES
def test_freed_memory_is_retained_in_huge_pages() -> None:
    faults, huge_pages = run(_HAS_HUGE_PAGES + _ALLOCATE_TWICE)
    assert int(faults) < 10  # of 16,384 pages of 4 KiB
    assert huge_pages == "True"


@pytest.mark.parametrize(("environment", "expected"), [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5")])
def test_spin_count_is_set_unless_given(environment: dict[str, str], expected: str) -> None:
    program = "import os; from onelook.process import configure_process; configure_process()"
    assert run(f"{program}; print(os.environ['GOMP_SPINCOUNT'])", **environment) == [expected]


def test_loading_a_predictor_changes_nothing_in_the_process() -> None:
    run(_LOAD_PREDICTOR)


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.argv = ['onelook', '--help']\nfrom onelook.cli import main",
        "from onelook.experiment.stage_main import stage_main\ndef main(): stage_main(lambda: None)",
    ],
    ids=["command", "stage"],
)
def test_programs_configure_the_process(program: str) -> None:
    end = "import os\ntry: main()\nexcept SystemExit: pass\nprint(os.environ['GOMP_SPINCOUNT'])"
    assert run(f"{program}\n{end}")[-1] == "10000"
