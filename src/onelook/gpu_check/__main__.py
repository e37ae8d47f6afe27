"""Check a CUDA card: `python -m onelook.gpu_check`, or `make gpu-check`. At most ten minutes.

It stops at the first failure with one line. The checks of inference and training need torch, NumPy, OpenCV, safetensors
and pydantic alone; those of FAISS and onnxruntime are skipped where they are not installed.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from onelook.device import resolve_device
from onelook.errors import OnelookError
from onelook.gpu_check.inference_check import NUM_IMAGES, check_inference
from onelook.gpu_check.library_check import check_faiss, check_nccl, check_onnx
from onelook.gpu_check.machine import describe_machine
from onelook.gpu_check.report import Report
from onelook.gpu_check.roofline import Peaks
from onelook.gpu_check.scenes import write_scenes
from onelook.gpu_check.throughput_check import check_peaks, check_throughput
from onelook.gpu_check.training_check import (
    check_determinism,
    check_float64_step,
    check_half_precision_step,
    check_resume,
    check_waits,
)
from onelook.reproducibility import seed_everything
from onelook.settings import BaseSettings

_SCENE_SIDE, _NUM_SCENES, _NUM_QUICK_SCENES = 700, 64, 16
_TRAINING_SECONDS = 120.0


def main() -> None:
    """Run all checks; exit with 1 and one line at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, mps or cpu; the default is cuda")
    parser.add_argument(
        "--picture", type=Path, default=Path("docs/pictures/group.jpg"), help="picture of several faces"
    )
    parser.add_argument("--out", type=Path, default=Path("gpu-check.json"), help="file of the results")
    parser.add_argument(
        "--quick", action="store_true", help="small products, copies and crops, a second of training: no measurement"
    )
    arguments = parser.parse_args()
    try:
        run_checks(arguments.device, arguments.picture, Report(arguments.out), quick=arguments.quick)
    except OnelookError as error:
        sys.exit(f"error: {error}")
    print(f"all checks passed; the results are in {arguments.out}")


def run_checks(device_name: str, picture: Path, report: Report, *, quick: bool) -> None:
    """Run all checks on a device.

    Raises:
        OnelookError: the first check that failed.
    """
    device = resolve_device(device_name)
    seed_everything(BaseSettings(threads=torch.get_num_threads()))
    report.run("machine", lambda: describe_machine(device))
    with tempfile.TemporaryDirectory() as folder:
        scenes = Path(folder) / "scenes"
        report.run("inference", lambda: check_inference(picture, device, 4 if quick else NUM_IMAGES))
        write_scenes(scenes, picture, _SCENE_SIDE, _NUM_QUICK_SCENES if quick else _NUM_SCENES)
        report.run("step in float64", lambda: check_float64_step(scenes, device))
        report.run("step in 16 bits", lambda: check_half_precision_step(scenes, device))
        report.run("waits of a step", lambda: check_waits(scenes, device))
        report.run("identical runs", lambda: check_determinism(scenes, device))
        report.run("resume on another device", lambda: check_resume(scenes, device, Path(folder)))
        report.run("NCCL", lambda: check_nccl(device))
        report.run("FAISS", lambda: check_faiss(device))
        report.run("ONNX", lambda: check_onnx(picture, device))
        _run_throughput(report, scenes, device, quick=quick)


def _run_throughput(report: Report, scenes: Path, device: torch.device, *, quick: bool) -> None:
    peaks: list[Peaks] = []

    def measure() -> dict[str, Any]:
        measured_peaks, measured = check_peaks(device, quick=quick)
        peaks.append(measured_peaks)
        return measured

    report.run("peaks", measure)
    seconds, crop_size = (0.5, 96) if quick else (_TRAINING_SECONDS / 2, 640)
    for name in ("light", "resnet50"):
        check = partial(check_throughput, name, scenes, device, peaks[0], seconds, crop_size)
        report.run(f"training, {name}", check)


if __name__ == "__main__":
    main()
