"""The calibrated threshold: what the evaluation wrote, and a new gallery takes over."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryMetadata
from onelook.open_set import ImpostorModel
from onelook.settings import DetectSettings


class Calibration(BaseModel):
    """A threshold for "unknown", and the model and way of looking that it holds for.

    The threshold is None where the evaluated scenes showed nobody with a name. What it is for a gallery of another size
    is told by `unknown`, where enough strangers were compared to know.
    """

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    threshold: float | None
    target_fpir: float = Field(gt=0, lt=1)
    fingerprint: str = Field(min_length=1)
    detect: DetectSettings
    unknown: ImpostorModel | None = None


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.json.

    Raises:
        GalleryError: it is missing or damaged.
    """
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be read ({error.strerror}); run `make repro`, or name a calibration.json (--calibration)"
        ) from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise GalleryError(
            f"{path}: damaged ({where}: {problem['msg']}); write it again with `dvc repro -f evaluate`"
        ) from error


def calibrated_metadata(path: Path, fingerprint: str, embedding_size: int, *, managed: bool) -> GalleryMetadata:
    """The terms of a new gallery, for the model of this fingerprint.

    Raises:
        GalleryError: the calibration cannot be read, has no threshold, or is another model's.
    """
    calibration = read_calibration(path)
    if calibration.threshold is None:
        raise GalleryError(
            f"{path}: has no threshold for unknown faces, as nobody in the evaluated scenes has a name; "
            "evaluate on photos of people with names"
        )
    if calibration.fingerprint != fingerprint:
        raise GalleryError(
            f"{path}: calibrated for model {calibration.fingerprint[:12]}, this is model {fingerprint[:12]}; "
            "run `dvc repro evaluate`, or name the model's own calibration.json"
        )
    return GalleryMetadata(
        fingerprint=fingerprint,
        embedding_size=embedding_size,
        threshold=calibration.threshold,
        target_fpir=calibration.target_fpir,
        detect=calibration.detect,
        unknown=calibration.unknown,
        managed=managed,
    )
