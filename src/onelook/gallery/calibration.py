"""The calibration file of a model: read calibration.json and make the metadata of a new gallery from it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryMetadata
from onelook.open_set import ImpostorModel, OpenSetModel
from onelook.settings import DetectSettings
from onelook.untrusted import first_problem, parse_json, read_limited


class Calibration(BaseModel):
    """An open-set threshold with the model and the detection settings it holds for."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)

    threshold: float | None = Field(description="null: nobody in the evaluated scenes has a name")
    target_fpir: float = Field(gt=0, lt=1)
    fingerprint: str = Field(min_length=1)
    detect: DetectSettings
    impostor_model: ImpostorModel | None = Field(
        default=None, alias="unknown", description="threshold by gallery size; null: too few non-mated probes"
    )
    open_set: OpenSetModel | None = Field(
        default=None, description="written by stages/calibrate.py; null: one threshold holds for every face"
    )


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.json.

    Raises:
        GalleryError: it is missing or damaged.
    """
    try:
        content = read_limited(path)
        parse_json(content)  # what it refuses, such as half a surrogate pair, may not enter a gallery
        return Calibration.model_validate_json(content)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be read ({error.strerror}); run `make repro`, or name a calibration.json (--calibration)"
        ) from error
    except ValidationError as error:  # a ValueError, too
        raise GalleryError(
            f"{path}: damaged ({first_problem(error)}); write it again with `dvc repro -f evaluate`"
        ) from error
    except ValueError as error:
        raise GalleryError(f"{path}: damaged ({error}); write it again with `dvc repro -f evaluate`") from error


def read_calibrated_metadata(path: Path, fingerprint: str, embedding_size: int, *, managed: bool) -> GalleryMetadata:
    """Make the metadata of a new gallery from the calibration of its model.

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
        impostor_model=calibration.impostor_model,
        open_set=calibration.open_set,
        managed=managed,
    )
