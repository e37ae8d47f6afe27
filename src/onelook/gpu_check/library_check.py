"""Checks of the libraries that use the card beside torch: NCCL, FAISS and onnxruntime."""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onelook.gpu_check.report import CheckFailedError, Skipped
from onelook.gpu_check.scenes import cut_scenes
from onelook.model.model_folder import RELEASED, fingerprint
from onelook.model.serialization import load_model
from onelook.onnx_session import CUDA, INSTALL_GPU_BUILDS
from onelook.settings import DetectSettings

_CARDS = 2
_NCCL_SECONDS = 120
_SIDE = 640
_MAX_EMBEDDING_DIFFERENCE = 1e-3
_MAX_SIMILARITY_DIFFERENCE = 1e-3
_VECTORS, _DIM, _QUERIES, _NEIGHBORS = 10_000, 128, 64, 10


def check_nccl(device: torch.device) -> dict[str, Any]:
    """Sum and gather tensors of two processes with a card each.

    Raises:
        Skipped: there are not two cards.
        CheckFailedError: the processes fail.
    """
    if device.type != "cuda" or torch.cuda.device_count() < _CARDS:
        raise Skipped("one card" if device.type == "cuda" else "no CUDA card")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={_CARDS}"]
    try:
        result = subprocess.run(
            [sys.executable, *launcher, "-m", "onelook.gpu_check.nccl"],
            capture_output=True,
            text=True,
            timeout=_NCCL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailedError(
            f"NCCL: two processes did not finish in {_NCCL_SECONDS} s; try NCCL_P2P_DISABLE=1"
        ) from error
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckFailedError(f"NCCL: two processes failed ({last}); try NCCL_DEBUG=INFO to see why")
    return {"cards": _CARDS}


def check_faiss(device: torch.device) -> dict[str, Any]:
    """Compare the nearest neighbors of a gallery's search on card 0 with those on the CPU.

    Raises:
        Skipped: FAISS is not installed, is the CPU build, or finds no card.
        CheckFailedError: the neighbors differ.
    """
    if find_spec("faiss") is None:
        raise Skipped(f"not installed; {INSTALL_GPU_BUILDS}")
    from onelook.gallery.faiss_index import build_flat_index
    from onelook.gallery.faiss_library import count_gpus
    from onelook.gallery.gpu_index import GpuIndex

    if device.type != "cuda" or count_gpus() == 0:
        raise Skipped(f"FAISS is the CPU build, or finds no card; {INSTALL_GPU_BUILDS}")
    rng = np.random.default_rng(0)
    vectors, queries = (rng.standard_normal((count, _DIM), np.float32) for count in (_VECTORS, _QUERIES))
    index = build_flat_index(vectors)
    (expected, _), (found, _) = (each.search(queries, _NEIGHBORS) for each in (index, GpuIndex(index)))
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    if difference > _MAX_SIMILARITY_DIFFERENCE:
        raise CheckFailedError(f"FAISS: similarities differ by {difference:.2g} between card and CPU; update faiss-gpu")
    return {"similarity_difference": difference}


def check_onnx(picture: Path, device: torch.device) -> dict[str, Any]:
    """Compare the faces that the exported released weights find on the card and on the CPU.

    Raises:
        Skipped: onnxruntime or the exporter is not installed, or there is no CUDA card.
        OnelookError: onnxruntime cannot use the card, or the faces differ.
    """
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        raise Skipped("onnxruntime or onnx is not installed; `pip install onnxruntime onnx`")
    if device.type != "cuda":
        raise Skipped("no CUDA card")
    from onelook.export.onnx_writer import write_onnx
    from onelook.inference.onnx_predictor import OnnxPredictor

    images = [image for image, _ in cut_scenes(picture, _SIDE, 1, seed=2)]
    detect = DetectSettings(longest_side=_SIDE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(file, load_model(RELEASED), fingerprint(RELEASED), [])
        (expected,), (found,) = (OnnxPredictor(file, each).predict(images, detect) for each in ("cpu", str(device)))
    if len(found) != len(expected):
        raise CheckFailedError(
            f"ONNX: {len(found)} faces on {device}, {len(expected)} on the CPU; update onnxruntime-gpu"
        )
    difference = float(np.abs(found.embeddings - expected.embeddings).max()) if len(found) else 0.0
    if difference > _MAX_EMBEDDING_DIFFERENCE:
        raise CheckFailedError(
            f"ONNX: embeddings differ by {difference:.2g} between {device} and the CPU; update onnxruntime-gpu"
        )
    return {"provider": CUDA, "faces": len(found), "embedding_difference": difference}
