"""The command `export-model`: export a model to ONNX, for other programs and machines without torch."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np


def export_model(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The .onnx file to write.  [default: beside the model folder, where the other commands find it]",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FOLDER", help="Model folder.  [default: the released weights]"),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            "--int8",
            help="Quantize to 8-bit integers where accuracy allows it: half the size and less time. "
            "Calibrate with this folder of some dozens of photos with faces.",
            metavar="PHOTOS",
        ),
    ] = None,
) -> None:
    """Export a model as one ONNX file for photos of any size.

    The file contains detection, NMS, alignment and embedding. The input is a batch of RGB uint8 images (batch, height,
    width, 3). The outputs are boxes, landmarks, scores and embeddings of the faces.

    The other commands run the file beside a model folder, or the one named by `--model FILE`, with onnxruntime.

    To write a gallery's table instead, use `onelook export`.
    """
    from onelook.errors import ModelError, OnelookError
    from onelook.export.onnx_writer import write_onnx
    from onelook.model.model_folder import RELEASED, fingerprint, has_mesh_head, onnx_path
    from onelook.model.serialization import load_model

    folder = RELEASED if model is None else model
    path = onnx_path(folder) if file is None else file
    if path.suffix != ".onnx":
        raise ModelError(f"{path}: name a file that ends in .onnx")
    model_fingerprint = fingerprint(folder)
    if file is None and has_mesh_head(folder):
        raise ModelError(
            f"{folder}: its mesh head cannot be exported, so the commands run it with torch; "
            "name a FILE to export the model without it"
        )
    images = [] if int8 is None else _read_calibration_images(int8, path, folder)
    try:
        write_onnx(path, load_model(folder), model_fingerprint, images)
    except OnelookError as error:
        if file is not None or isinstance(error, ModelError):
            raise
        raise OnelookError(f"{error}; name another FILE, and pass it to the other commands by --model") from error
    print(f"{path}: model {model_fingerprint[:12]}, {path.stat().st_size / 1e6:.1f} MB")


COMMANDS: dict[str, Callable[..., None]] = {"export-model": export_model}


def _read_calibration_images(photos: Path, out: Path, model: Path) -> "list[np.ndarray]":
    """Read the images of a folder that show faces, for int8 calibration."""
    from onelook.errors import ModelError
    from onelook.export.quantization import read_calibration_images
    from onelook.inference.loading import load_torch_predictor
    from onelook.media.discovery import find_media_files

    paths = [file.path for file in find_media_files([photos], out) if file.kind == "photo" and file.error is None]
    images = read_calibration_images(paths, load_torch_predictor(model))
    if not images:
        raise ModelError(f"{photos}: no photo with a face to calibrate with; name a folder of some dozens")
    return images
