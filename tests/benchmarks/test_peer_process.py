"""Peer processes that answer, and that die: a program in a folder of its own, with a time limit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROGRAM = """
import os, signal, sys
from peer_process import PeerProcess, run_in_process
from onelook.errors import OnelookError

def double(offset, connection):
    connection.send("ready")
    while (number := connection.recv()) is not None:
        if number == 1:
            os._exit(3)
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 3:
            raise ValueError("three")
        connection.send(2 * number + offset)

def add(first, second, connection):
    connection.send(first + second)

def fail_to_start(connection):
    sys.exit("no such weights")

if __name__ == "__main__":
    # A later process must not keep the connection of an earlier one open.
    processes = [PeerProcess("first", double, 5), PeerProcess("second", double, 0)]
    print([process.receive() for process in processes], processes[0].request(10), processes[1].request(10))
    action = sys.argv[1]
    try:
        if action == "start":
            print(run_in_process("sum", add, 40, 2))
            run_in_process("third", fail_to_start)
        processes[0].request(int(action))
    except OnelookError as error:
        print(error)
    try:
        processes[0].request(20)
    except OnelookError as error:
        print("again:", error)
    print(processes[1].request(30))
"""


@pytest.mark.parametrize(
    ("action", "reason"),
    [("1", "exit code 3"), ("2", "killed by SIGKILL"), ("3", "exit code 1"), ("start", "exit code 1")],
)
def test_a_dead_process_is_an_error_with_its_reason(tmp_path: Path, action: str, reason: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, program, action], env=env, capture_output=True, text=True, timeout=120)
    ready, *lines, last = done.stdout.splitlines()
    assert ready == "['ready', 'ready'] 25 20" and last == "60", done.stderr
    name = "third" if action == "start" else "first"
    if action == "start":
        assert lines.pop(0) == "42"
    assert lines[0] == f"{name}: its process ended ({reason}); its own messages are above"
    assert len(lines) == (1 if action == "start" else 2)
    assert {"3": "ValueError: three", "start": "no such weights"}.get(action, "") in done.stderr
