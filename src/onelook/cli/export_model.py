"""The command that writes a model for other programs and for machines without torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def export_model(
    file: Annotated[Path, typer.Argument(help="the file to write, .onnx", metavar="FILE", show_default=False)],
    model: Annotated[
        Path | None, typer.Option("--model", help="the model's folder  [default: the released weights]")
    ] = None,
) -> None:
    """Write a model as one ONNX file, for photos of any size and number.

    All of a look is in it: photos (batch, height, width, 3; RGB uint8) in, faces with boxes, landmarks and embeddings
    out. `--model FILE` of the other commands then takes it, and onnxruntime does the work. (`onelook export` is
    another command: it writes a gallery's table.)
    """
    from onelook.errors import ModelError
    from onelook.export.writer import write_onnx
    from onelook.model.folder import RELEASED
    from onelook.model.look import load_looker

    if file.suffix != ".onnx":
        raise ModelError(f"{file}: name a file that ends in .onnx")
    looker = load_looker(RELEASED if model is None else model)
    write_onnx(file, looker.network, looker.fingerprint)
    print(f"{file}: model {looker.fingerprint[:12]}, {file.stat().st_size / 1e6:.1f} MB")


COMMANDS: dict[str, Callable[..., None]] = {"export-model": export_model}
