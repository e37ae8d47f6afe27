import subprocess
import sys
from dataclasses import replace

import psutil

from onelook.experiment.process_identity import CLOCK_TOLERANCE, Process, current_process, find_dvc_process


def test_parse_inverts_str() -> None:
    own = current_process()
    again = Process.parse(str(own))
    assert again.is_same(own)
    assert str(again) == str(own)
    assert Process.parse("a:b:7:1.50") == Process("a:b", 7, 1.5)


def test_the_current_process_has_not_exited() -> None:
    assert not current_process().has_exited()


def test_a_killed_process_has_exited() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = replace(current_process(), pid=child.pid, started=psutil.Process(child.pid).create_time())
    assert not process.has_exited()
    child.kill()
    child.wait()
    assert process.has_exited()


def test_a_reused_process_id_is_another_process() -> None:
    own = current_process()
    earlier = replace(own, started=own.started - 2 * CLOCK_TOLERANCE)
    assert earlier.has_exited()
    assert not earlier.is_same(own)


def test_a_process_of_another_machine_counts_as_running() -> None:
    assert not Process("elsewhere", 2**22 + 1, 0.0).has_exited()


def test_dvc_is_found_among_the_parents_only() -> None:
    script = "from onelook.experiment.process_identity import find_dvc_process; print(find_dvc_process())"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}], check=True)"
    assert subprocess.run([sys.executable, "-c", nested], capture_output=True, text=True).stdout == "None\n"
    assert find_dvc_process() is None
