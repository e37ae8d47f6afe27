import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from onelook.distributed import all_reduce_count, process_group, rank, world_size
from onelook.training.launch import launch_processes

if not launch_processes(int(sys.argv[1])):
    with process_group():
        print(f"rank {rank()} of {world_size()} counts {all_reduce_count(rank() + 1):.0f}", flush=True)
        all_reduce_count(0)  # both have printed before one fails
        if rank() == 1:
            sys.exit("error: photos/a.jpg: damaged")
        all_reduce_count(1)
"""


def run(tmp_path: Path, processes: int) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(PROGRAM)
    program = [sys.executable, str(tmp_path / "program.py"), str(processes)]
    return subprocess.run(program, capture_output=True, text=True)


def test_one_process_is_not_launched(tmp_path: Path) -> None:
    done = run(tmp_path, 1)
    assert (done.returncode, done.stdout, done.stderr) == (0, "rank 0 of 1 counts 1\n", "")


def test_a_failed_process_stops_the_others_with_its_own_message(tmp_path: Path) -> None:
    done = run(tmp_path, 2)
    assert done.returncode == 1
    # Both print at once, so lines may be interleaved.
    assert all(f"rank {rank} of 2 counts 3" in done.stdout for rank in (0, 1))
    assert "error: photos/a.jpg: damaged\n" in done.stderr and "ChildFailedError" not in done.stderr
