"""Describe the machine, library versions and commit of a benchmark.

A helper of suite.py.
"""

import os
import platform
import resource
import subprocess
from importlib import import_module
from pathlib import Path

import psutil

LIBRARIES = {"torch": "torch", "onnxruntime": "onnxruntime", "OpenCV": "cv2", "FAISS": "faiss"}


def describe_machine() -> dict[str, str]:
    """Return the machine's description by table column."""
    import torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "accelerator": accelerator,
        "Python": platform.python_version(),
        **{told: version(name) for told, name in LIBRARIES.items()},
    }


def processor() -> str:
    """Return the processor's name from the kernel."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def version(name: str) -> str:
    """Return a library's version; a dash where it is not installed."""
    try:
        return str(import_module(name).__version__)
    except ImportError:
        return "–"


def busy_seconds() -> float:
    """Return the busy seconds of all processors since boot, for any process."""
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))


def own_seconds() -> float:
    """Return the processor seconds of this process and its finished children."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def current_commit(root: Path, but: Path) -> str:
    """Return the checked-out commit.

    And whether a file other than `but` differs from it.
    """
    try:
        commit = _git(root, "rev-parse", "--short", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", f":!{but.relative_to(root)}")
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return f"{commit} with changes" if changed else commit


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
