"""Identity of processes across reuse of process ids, to find a run's `dvc repro` and runs that were killed."""

import platform
from dataclasses import dataclass
from pathlib import PurePath
from typing import Self

import psutil

# The start time is derived from the boot time, which shifts when the system's clock is set.
CLOCK_TOLERANCE = 2.0


@dataclass(frozen=True)
class Process:
    """A process, identified by host, process id and start time in seconds since the epoch."""

    host: str
    pid: int
    started: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the process that `str(process)` describes."""
        host, pid, started = text.rsplit(":", 2)
        return cls(host, int(pid), float(started))

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started:.2f}"

    def is_same(self, other: "Process") -> bool:
        """Return whether both are one process."""
        same_start = abs(self.started - other.started) < CLOCK_TOLERANCE
        return self.host == other.host and self.pid == other.pid and same_start

    def has_exited(self) -> bool:
        """Return whether the process has ended; False for a process of another machine."""
        if self.host != platform.node():
            return False
        try:
            running = psutil.Process(self.pid)
            return running.status() == psutil.STATUS_ZOMBIE or not self.is_same(_identify(running))
        except psutil.NoSuchProcess:
            return True


def current_process() -> Process:
    """Return the identity of the calling process."""
    return _identify(psutil.Process())


def find_dvc_process() -> Process | None:
    """Return the nearest `dvc` among the parents of this process, or None outside DVC."""
    for ancestor in psutil.Process().parents():
        try:
            command = ancestor.cmdline()
        except psutil.Error:
            return None
        if any(PurePath(part).stem == "dvc" for part in command[:3]):
            return _identify(ancestor)
    return None


def _identify(process: psutil.Process) -> Process:
    return Process(platform.node(), process.pid, process.create_time())
