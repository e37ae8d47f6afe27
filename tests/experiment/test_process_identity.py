"""Telling processes apart, the ended from the running."""

import subprocess
import sys
from dataclasses import replace

import psutil

from onelook.experiment.process_identity import CLOCK_TOLERANCE, Process, dvc_process, this_process


def test_a_process_is_read_back_from_its_text() -> None:
    own = this_process()
    again = Process.parse(str(own))
    assert again.same(own)
    assert str(again) == str(own)
    assert Process.parse("a:b:7:1.50") == Process("a:b", 7, 1.5)


def test_this_process_lives() -> None:
    assert not this_process().gone()


def test_an_ended_process_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = replace(this_process(), pid=child.pid, started=psutil.Process(child.pid).create_time())
    assert not process.gone()
    child.kill()
    child.wait()
    assert process.gone()


def test_a_number_given_to_a_later_process_is_not_the_earlier_one() -> None:
    own = this_process()
    earlier = replace(own, started=own.started - 2 * CLOCK_TOLERANCE)
    assert earlier.gone()
    assert not earlier.same(own)


def test_of_another_machine_nothing_is_known() -> None:
    assert not Process("elsewhere", 2**22 + 1, 0.0).gone()


def test_dvc_is_found_above_its_stages_only() -> None:
    script = "from onelook.experiment.process_identity import dvc_process; print(dvc_process())"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}], check=True)"
    assert subprocess.run([sys.executable, "-c", nested], capture_output=True, text=True).stdout == "None\n"
    assert dvc_process() is None
