"""Commands whose connections are recorded, those of all their processes, and denied in Python."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.network import traced_addresses

_STRACE = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]
# Python imports it at the start of each process.
_SITECUSTOMIZE = "from helpers.network import deny_network\n\ndeny_network({log!r})\n"
# What the caller set for itself: a command is watched as a user starts it, without `make`.
_HIDDEN = re.compile("ORT_|MLFLOW_|DVC_|RAY_|XDG_|MPL|DO_NOT_TRACK|PYTEST_|MAKE|MFLAGS")


class WatchedRun:
    """Commands in an environment without a network, with empty folders for home and temporary files."""

    def __init__(self, root: Path, temporary: Path) -> None:
        """Create the folder for home and the records below `root`; `temporary` is empty, for temporary files."""
        self.elsewhere = [root / "home", temporary]
        watch = root / "watch"
        for folder in (root / "home", watch):
            folder.mkdir()
        self._trace, self._log = watch / "trace", watch / "attempts"
        (watch / "sitecustomize.py").write_text(_SITECUSTOMIZE.format(log=str(self._log)))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {name: value for name, value in os.environ.items() if not _HIDDEN.match(name)} | {
            "HOME": str(self.elsewhere[0]),
            "TMPDIR": str(self.elsewhere[1]),
            "PATH": path,
            "PYTHONPATH": os.pathsep.join([str(watch), *filter(None, sys.path)]),
            "OMP_NUM_THREADS": "1",
        }

    def command(self, *arguments: str) -> list[str]:
        """Return a command that runs under `strace`, where it is installed and may trace."""
        if shutil.which("strace") and subprocess.run([*_STRACE, os.devnull, "true"], check=False).returncode == 0:
            return [*_STRACE, str(self._trace), *arguments]
        return list(arguments)

    def run(self, arguments: Sequence[str], folder: Path) -> str:
        """Run a command to its end, and return what it prints; it must succeed."""
        command = self.command(*arguments)
        done = subprocess.run(command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attempts(self) -> list[str]:
        """Return the attempts to reach another machine: denied ones in Python, and calls that `strace` traced."""
        denied = self._log.read_text().splitlines() if self._log.exists() else []
        traced = traced_addresses(self._trace.read_text()) if self._trace.exists() else []
        return denied + traced

    def files_elsewhere(self) -> list[str]:
        """Return what was written to the folders for home and for temporary files."""
        return [str(path) for folder in self.elsewhere for path in folder.rglob("*")]
