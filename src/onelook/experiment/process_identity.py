"""Which process a run belongs to: this tells one `dvc repro` from another, and the killed from the live."""

import platform
from dataclasses import dataclass
from pathlib import PurePath
from typing import Self

import psutil

# The start time is the boot time plus a constant, and the system's idea of the boot time moves when its clock is set.
CLOCK_TOLERANCE = 2.0


@dataclass(frozen=True)
class Process:
    """A process, recognizable even after its number was given to another one."""

    host: str
    pid: int
    started: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """The process that `str` wrote."""
        host, pid, started = text.rsplit(":", 2)
        return cls(host, int(pid), float(started))

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started:.2f}"

    def same(self, other: "Process") -> bool:
        """Whether both are one process."""
        near = abs(self.started - other.started) < CLOCK_TOLERANCE
        return self.host == other.host and self.pid == other.pid and near

    def gone(self) -> bool:
        """Whether it is known to have ended; of a process of another machine nothing is known."""
        if self.host != platform.node():
            return False
        try:
            alive = psutil.Process(self.pid)
            return alive.status() == psutil.STATUS_ZOMBIE or not self.same(_identify(alive))
        except psutil.NoSuchProcess:
            return True


def this_process() -> Process:
    """The process that runs this."""
    return _identify(psutil.Process())


def dvc_process() -> Process | None:
    """The nearest `dvc` above this process, None outside DVC."""
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
