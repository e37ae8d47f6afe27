"""Description of the machine that a check or a benchmark runs on."""

import platform
import subprocess
from typing import Any

import torch

from onelook.device import describe_device


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return device, Python, torch and CUDA, and of a card its memory, capability and driver."""
    description: dict[str, Any] = {
        "device": describe_device(device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        description |= {
            "cards": torch.cuda.device_count(),
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "capability": f"{properties.major}.{properties.minor}",
            "driver": driver_version(),
        }
    return description


def driver_version() -> str:
    """Return the version of the NVIDIA driver; a dash where `nvidia-smi` is missing."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "–"
