"""The command that writes a model for other programs and for machines without torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def export_model(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="the file to write, .onnx  [default: beside the model's folder, where the other commands look for it]",
            metavar="[FILE]",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="the model's folder  [default: the released weights]")
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            "--int8",
            help="whole numbers of 8 bits where they cost little, for half the size and less time; a folder of photos "
            "with faces, some dozens, to measure by",
            metavar="PHOTOS",
        ),
    ] = None,
) -> None:
    """Write a model as one ONNX file, for photos of any size and number.

    All of a look is in it: photos (batch, height, width, 3; RGB uint8) in, faces with boxes, landmarks and embeddings
    out. The other commands run a model by the file beside its folder, through onnxruntime, or by the one that
    `--model FILE` names. (`onelook export` is another command: it writes a gallery's table.)
    """
    from onelook.errors import ModelError, OnelookError
    from onelook.export.onnx_writer import write_onnx
    from onelook.export.quantization import read_examples
    from onelook.inference.loading import load_torch_predictor
    from onelook.media.discovery import find_sources
    from onelook.model.model_folder import RELEASED, fingerprint, has_mesh_head, onnx_path
    from onelook.model.serialization import load_model

    folder = RELEASED if model is None else model
    chosen = onnx_path(folder) if file is None else file
    if chosen.suffix != ".onnx":
        raise ModelError(f"{chosen}: name a file that ends in .onnx")
    known = fingerprint(folder)
    if file is None and has_mesh_head(folder):
        raise ModelError(f"{folder}: its mesh head stays in torch, and so do the commands; name a FILE, and do without")
    examples = []
    if int8 is not None:
        found = [
            source.path for source in find_sources([int8], chosen) if source.kind == "photo" and source.why is None
        ]
        examples = read_examples(found, load_torch_predictor(folder))
        if not examples:
            raise ModelError(f"{int8}: no photo with a face to measure by; name a folder of some dozens")
    try:
        write_onnx(chosen, load_model(folder), known, examples)
    except OnelookError as error:
        if file is not None or isinstance(error, ModelError):
            raise
        raise OnelookError(f"{error}; name a FILE elsewhere, and name it to the other commands by --model") from error
    print(f"{chosen}: model {known[:12]}, {chosen.stat().st_size / 1e6:.1f} MB")


COMMANDS: dict[str, Callable[..., None]] = {"export-model": export_model}
