"""A program that starts itself in several processes."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from onelook.distributed import joined, processes, rank, total
from onelook.training.launch import launched

if not launched(int(sys.argv[1])):
    with joined():
        print(f"{rank()} of {processes()} counts {total(rank() + 1):.0f}", flush=True)
        total(0)  # both have told before one fails
        if rank() == 1:
            sys.exit("error: photos/a.jpg: damaged")
        total(1)
"""


def run(tmp_path: Path, processes: int) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(PROGRAM)
    program = [sys.executable, str(tmp_path / "program.py"), str(processes)]
    return subprocess.run(program, capture_output=True, text=True)


def test_one_process_is_not_started_anew(tmp_path: Path) -> None:
    done = run(tmp_path, 1)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 of 1 counts 1\n", "")


def test_one_that_fails_stops_the_others_with_its_own_line(tmp_path: Path) -> None:
    done = run(tmp_path, 2)
    assert done.returncode == 1
    # Both write at once, so that a line may begin before the other one ends.
    assert all(f"{rank} of 2 counts 3" in done.stdout for rank in (0, 1))
    assert "error: photos/a.jpg: damaged\n" in done.stderr and "ChildFailedError" not in done.stderr
