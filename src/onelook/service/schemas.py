"""Bodies of requests and answers, from which the OpenAPI document is made."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Box = Annotated[list[float], Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels")]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern="^[0-9a-f]{16}$", description="key of the person in paths")]


class Error(BaseModel):
    """Body of every answer with an error status."""

    error: str = Field(description="one sentence: what is wrong, and what to do")


class Face(BaseModel):
    """A detected face."""

    box: Box
    landmarks: list[Point] = Field(description="left eye, right eye, nose, left and right mouth corner")
    score: float = Field(description="detection score, 0 to 1")
    size: float = Field(description="square root of the area of the box, in pixels where the face is embedded")
    sharpness: float
    profile: float | None = Field(description="0: frontal, 1: in profile")


class EmbeddedFace(Face):
    """A detected face with its embedding."""

    embedding: list[float] = Field(description="L2-normalized; the inner product of two is their similarity")


class IdentifiedFace(Face):
    """A detected face with its identity."""

    name: str | None = Field(description="the person; null: not recognized")
    similarity: float | None = Field(description="cosine similarity with the nearest person")
    nearest: str | None = Field(description="the most similar person, also without a name")
    margin: float | None = Field(description="difference of the best and the second-best similarity")
    confidence: float | None = Field(description="probability that `nearest` is right")
    reason: str | None = Field(description="why a face without a name may still be of an enrolled person")


class Detection(BaseModel):
    """The faces of a photo, best detection score first; width and height are those of the upright photo."""

    width: int
    height: int
    faces: list[Face]


class Embedding(Detection):
    """The embedded faces of a photo."""

    model: str = Field(description="fingerprint; embeddings of two models cannot be compared")
    faces: list[EmbeddedFace]  # type: ignore[assignment]


class Identification(Detection):
    """The identified faces of a photo."""

    faces: list[IdentifiedFace]  # type: ignore[assignment]


class Verification(BaseModel):
    """The comparison of the faces of two photos."""

    same: bool
    answer: str = Field(description='"same person", "different people", or "not sure" with the reason')
    similarity: float
    threshold: float
    far: float = Field(description="false-accept rate of the decision")
    confidence: float = Field(description="probability of one person, if half of the pairs are")
    reason: str | None
    faces: list[Face] = Field(description="the compared faces, of the first and the second photo")


class Person(BaseModel):
    """An enrolled person."""

    key: Key
    name: str
    photos: int


class People(BaseModel):
    """A page of the list of enrolled people, sorted by name."""

    total: int
    people: list[Person]


class EnrolledPhoto(BaseModel):
    """An enrolled photo of a person."""

    sha256: Digest
    photo: str = Field(description="file name, as it was enrolled")


class PersonWithPhotos(Person):
    """An enrolled person with their photos."""

    photos: list[EnrolledPhoto]  # type: ignore[assignment]


class Duplicate(BaseModel):
    """Two enrolled people who may be one."""

    name: str
    other: str
    similarity: float


class Enrollment(Person):
    """The result of an enrollment."""

    added: int
    already_enrolled: int
    warnings: list[str] = Field(description="new photos whose face is hard to recognize")
    duplicates: list[Duplicate]


class Remainder(BaseModel):
    """A known copy of the gallery that still holds a forgotten person."""

    path: str = Field(description="file or folder on the server")
    content: str = Field(description='what it is, as in "backup"')
    advice: str | None = Field(description="how to remove the person there")


class Forgotten(BaseModel):
    """A person who was removed from the gallery."""

    name: str
    remainders: list[Remainder] = Field(description="registered versions, backups and exports that hold the person")


class NewName(BaseModel):
    """The new name of a person."""

    model_config = ConfigDict(extra="forbid")

    name: str


class Target(BaseModel):
    """The person who keeps the name, and gets the photos of the other."""

    model_config = ConfigDict(extra="forbid")

    into: Key


class Health(BaseModel):
    """The answer of a server that works."""

    status: str
