"""Settings of the dataset readers, one section a reader."""

from typing import Literal

from pydantic import Field, PositiveInt, field_validator

from onelook.settings.section import Section

CelebaImages = Literal["img_celeba", "img_align_celeba"]


class FolderSettings(Section):
    """Reader `folder`: one directory per person."""

    path: str = Field("photos", min_length=1, description="the folder that holds a directory per person")
    min_images: PositiveInt = Field(2, description="fewest photos of a person; a person with fewer is an error")
    longest_side: int = Field(1024, ge=64, le=8192, description="larger photos are scaled down to this, in pixels")


class LfwSettings(Section):
    """Reader `lfw`: Labeled Faces in the Wild with its official lists."""

    path: str = Field(
        "../shared/data/lfw", min_length=1, description="the folder that holds images/ and peopleDevTrain.txt"
    )


class CelebaSettings(Section):
    """Reader `celeba`: CelebA with its label files."""

    path: str = Field(
        "../shared/data/celeba",
        min_length=1,
        description="the folder that holds the photos and label files, or Img/, Anno/ and Eval/",
    )
    images: CelebaImages = Field(
        "img_celeba",
        description="img_celeba: the photos as they were found; img_align_celeba: 178x218 pixels around the face",
    )


class RecordIOSettings(Section):
    """Reader `recordio`: a training set packed by InsightFace."""

    path: str = Field(
        "../shared/data/faces_emore", min_length=1, description="the folder that holds train.rec and train.idx"
    )


class WiderSettings(Section):
    """Reader `wider`: WIDER FACE as it is unpacked."""

    path: str = Field(
        "../shared/data/widerface", min_length=1, description="the folder that holds WIDER_val/ and wider_face_split/"
    )


class JsonAnnotationsSettings(Section):
    """Reader `json_annotations`: photos with boxes and points in one JSON file."""

    path: str = Field(
        "../shared/data/scenes", min_length=1, description="the folder that holds images/ and annotations.json"
    )


class ExtraFacesSettings(Section):
    """More training faces without identity: crops with a box and five points each."""

    path: str = Field(
        "", description="the folder that holds a directory per set, each with images/ and faces.csv; empty: none"
    )
    held_out: dict[str, int] = Field(
        {},
        description="number of eighths of a set, by its name, that do not train: the first calibrates, the next three "
        "measure (onelook.data.held_out); absent: 0",
    )

    @field_validator("held_out")
    @classmethod
    def _check_held_out(cls, value: dict[str, int]) -> dict[str, int]:
        for name, eighths in value.items():
            if not 0 <= eighths <= 8:
                raise ValueError(f"{name}: {eighths} eighths; use 0 to 8")
        return value
