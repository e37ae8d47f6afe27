"""Settings of the stage `prepare`."""

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from onelook.settings.readers import (
    CelebaSettings,
    ExtraFacesSettings,
    FolderSettings,
    JsonAnnotationsSettings,
    LfwSettings,
    RecordIOSettings,
    WiderSettings,
)
from onelook.settings.section import Section


class SplitFractions(Section):
    """Fractions of the people in each split; of the photos without identities."""

    train: float = Field(0.6, gt=0, lt=1)
    validation: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.25, gt=0, lt=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("train + validation + test must be 1")
        return self


class AnnotateSettings(Section):
    """Boxes and landmarks for photos without labels, found by the public detector."""

    score: float = Field(0.5, ge=0.02, lt=1, description="lowest score of a face")
    upscale: float = Field(2.0, ge=1, le=4, description="factor that enlarges photos with a longer side under 256 px")


class ComposeSettings(Section):
    """Scenes composed of face crops over background photographs."""

    train: PositiveInt = Field(600, description="number of scenes")
    validation: PositiveInt = 60
    test: PositiveInt = 160
    blended_identities: NonNegativeInt = Field(
        40, description="identities made by mixing the photos of two training people half and half; training only"
    )
    empty_fraction: float = Field(0.1, ge=0, lt=1, description="fraction of the scenes without a face")
    width: int = Field(512, ge=256, le=2048)
    height: int = Field(384, ge=256, le=2048)
    faces_per_scene: tuple[PositiveInt, PositiveInt] = Field((1, 8), description="fewest and most faces of a scene")
    face_size: tuple[PositiveFloat, PositiveFloat] = Field(
        (24, 200), description="smallest and largest face, square root of the box area"
    )
    max_rotation: float = Field(25, ge=0, le=90, description="largest in-plane rotation, in degrees, either way")
    max_overlap: float = Field(0.2, ge=0, lt=1, description="largest fraction of a face that a later face may cover")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.faces_per_scene[0] > self.faces_per_scene[1]:
            raise ValueError("faces_per_scene: the first number is the fewest, the second the most")
        if not 8 <= self.face_size[0] <= self.face_size[1] <= min(self.width, self.height) * 0.8:
            raise ValueError("face_size: needs 8 <= smallest <= largest <= 0.8 of the scene's shorter side")
        return self


class PrepareSettings(Section):
    """Photos and labels in, scenes with one manifest out."""

    reader: Literal["orl", "folder", "lfw", "celeba", "recordio", "wider", "json_annotations"] = Field(
        "orl",
        description="orl: the embedded default data; folder: your own photos; lfw: Labeled Faces in the Wild; celeba: "
        "CelebA; recordio: a training set of InsightFace; wider, json_annotations: photos without identities, for "
        "train.tasks: detection",
    )
    folder: FolderSettings = FolderSettings()
    lfw: LfwSettings = LfwSettings()
    celeba: CelebaSettings = CelebaSettings()
    recordio: RecordIOSettings = RecordIOSettings()
    wider: WiderSettings = WiderSettings()
    json_annotations: JsonAnnotationsSettings = JsonAnnotationsSettings()
    extra_faces: ExtraFacesSettings = ExtraFacesSettings()
    split: SplitFractions = SplitFractions()
    enrollment_images: PositiveInt = Field(
        5, description="photos per validation and test person kept for enrollment, at most half"
    )
    annotate: AnnotateSettings = AnnotateSettings()
    face_crops: int = Field(
        0,
        ge=0,
        le=512,
        description="side in pixels of crops of all training faces, in one array that batches of faces are read from; "
        "0: they are read from the photos",
    )
    mesh_labels: bool = Field(
        False, description="true: every face gets a mesh of 468 vertices as a label; needs onelook[mesh] and a wheel"
    )
    morphable_model: bool = Field(
        False, description="true: a linear model of shape and color is fitted to the meshes of the training faces"
    )
    compose_scenes: bool = Field(
        True, description="true: faces are cut out and composed into scenes; false: each photo is a scene"
    )
    compose: ComposeSettings = ComposeSettings()

    @model_validator(mode="after")
    def _morphable_model_needs_meshes(self) -> Self:
        if self.morphable_model and not self.mesh_labels:
            raise ValueError("morphable_model: true is fitted to meshes; set mesh_labels: true")
        return self
