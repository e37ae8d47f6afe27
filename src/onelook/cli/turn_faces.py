"""The command `turn-faces`: turn training faces in 3D to larger poses."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from onelook.detections import Detections


def turn_faces(
    sets: Annotated[
        list[Path],
        typer.Argument(help="Sets of faces, as collect-faces writes them.", metavar="SET", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", help="The new set, beside the others.", metavar="FOLDER")],
    count: Annotated[int, typer.Option("--count", help="Turned versions of each face.", min=1)] = 1,
    yaw: Annotated[
        tuple[float, float], typer.Option("--yaw", help="Smallest and largest yaw to either side, in degrees.")
    ] = (20.0, 70.0),
    seed: Annotated[int, typer.Option("--seed", help="Seed of the poses.", min=0)] = 2026,
) -> None:
    """Turn the faces of sets in 3D, and write them as a new set.

    The teacher's embedding of the unturned face is the target of a turned one. An interrupted run continues.
    """
    from onelook.data.synthesis.turn_sampling import TurnOptions
    from onelook.data.synthesis.turned_faces import write_turned_faces
    from onelook.errors import OnelookError
    from onelook.inference.torch_predictor import public_detector
    from onelook.model.mesh_teacher import MeshTeacher
    from onelook.settings import DetectSettings

    if not 0 <= yaw[0] <= yaw[1] <= 80:
        raise OnelookError("--yaw: needs 0 <= smallest <= largest <= 80")
    predict_mesh = MeshTeacher().predict
    detector = public_detector()
    detect = DetectSettings(score=0.3, nms=0.4, longest_side=640)

    def detect_faces(image: "np.ndarray") -> "Detections":
        return detector.predict([image], detect, embed=False)[0]

    options = TurnOptions(count, *yaw, seed)
    print(f"{out}: {write_turned_faces(sets, out, predict_mesh, detect_faces, options)} turned faces")


COMMANDS: dict[str, Callable[..., None]] = {"turn-faces": turn_faces}
