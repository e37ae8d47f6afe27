"""Memory for looks is asked for once, in large pages, and stays."""

import subprocess
import sys
from pathlib import Path

import pytest

LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# Takes and frees 64 MiB twice; says how many pages were cleared for the second, and in how large ones memory may come.
USE = """
import ctypes, resource
from onelook.inference.fast.memory import keep_freed_memory

def use():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
use()
flags = [line.split()[1:] for line in open("/proc/self/smaps") if line.startswith("VmFlags")]
print(use(), any("hg" in each for each in flags))
"""


@pytest.mark.skipif(not LARGE_PAGES.is_file(), reason="this system has no pages of two megabytes to ask for")
def test_memory_taken_again_is_ready_and_in_large_pages() -> None:
    told = subprocess.run([sys.executable, "-c", USE], check=True, capture_output=True, text=True).stdout.split()
    assert int(told[0]) < 10  # of 16,384 small ones
    assert told[1] == "True"
