"""The option --device of benchmarks, and the predictor that it asks for."""

import argparse
from pathlib import Path

from onelook.device import DEVICE_NAMES, resolve_device
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add --device; the default is the CPU, on which the committed tables were measured."""
    parser.add_argument("--device", default="cpu", help=f"{DEVICE_NAMES}; default: cpu")


def load_predictor(model: Path, device: str) -> TorchPredictor:
    """Load a model folder in float32 on the device of a name."""
    return load_torch_predictor(model, device=resolve_device(device))
