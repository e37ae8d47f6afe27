"""Faces, scenes and the manifest that lists them.

A manifest is the file `manifest.jsonl` of a data folder: one scene a line, image paths relative to the folder.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from onelook.errors import DataError
from onelook.files import resolve_inside, write_text
from onelook.geometry.boxes import box_sizes
from onelook.untrusted import iter_lines, one_line, parse_json, printable

Split = Literal["train", "validation", "test"]
Role = Literal["scene", "enroll", "crop"]
MANIFEST = "manifest.jsonl"
"""Name of the manifest file in a data folder."""
CROPS_PREFIX = "crops-"
"""Start of the name of a folder of crops; the name of their set follows."""


def missing_landmarks() -> np.ndarray:
    """Return landmarks (5, 2) float32 of NaN, for a face without landmarks."""
    return np.full((5, 2), np.nan, np.float32)


def empty_boxes() -> np.ndarray:
    """Return an empty array of boxes (0, 4) float32."""
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, eq=False)
class Face:
    """Labeled face of a scene.

    Attributes:
        box: (4,) float32, x1 y1 x2 y2 in pixels of the scene's image, half-open.
        landmarks: (5, 2) float32, left eye, right eye, nose, left and right mouth corner as seen in the image; NaN
            where absent.
        identity: name of the person, or None.
        source: origin of the face if it differs from its scene's, else an empty string.
    """

    box: np.ndarray
    landmarks: np.ndarray = field(default_factory=missing_landmarks)
    identity: str | None = None
    source: str = ""

    @property
    def size(self) -> float:
        """Return the square root of the box area, in pixels."""
        return float(box_sizes(self.box))


@dataclass(frozen=True, eq=False)
class Scene:
    """Labeled image: a photo or a composed scene with its faces.

    Attributes:
        image: path relative to the manifest's folder.
        width, height: of the image, in pixels.
        split: split of its people; no person is in two.
        role: "enroll" for a photo that enrolls one person in a gallery; "crop" for a close crop of one face, unfit to
            train or test detection; "scene" for any other.
        faces: labeled faces, in no particular order.
        source, license: origin of the photo and its terms.
        ignored: (k, 4) float32 boxes of uncertain faces: a detection there is neither right nor wrong.
        unturned: image of the scene with the same face before it was turned in 3D, else an empty string. The teacher's
            embedding of that face is the target of this one.
    """

    image: str
    width: int
    height: int
    split: Split
    role: Role
    faces: tuple[Face, ...]
    source: str
    license: str
    ignored: np.ndarray = field(default_factory=empty_boxes)
    unturned: str = ""

    @property
    def face_set(self) -> str:
        """Return the name of the set of extra faces that a crop belongs to, else an empty string."""
        folder = PurePosixPath(self.image).parent
        return folder.name.removeprefix(CROPS_PREFIX) if self.role == "crop" else ""


@dataclass(frozen=True)
class Manifest:
    """Scenes of a data folder."""

    root: Path
    scenes: tuple[Scene, ...]

    def select(self, split: Split, role: Role = "scene") -> list[Scene]:
        """Return the scenes of a split and role, in manifest order."""
        return [scene for scene in self.scenes if scene.split == split and scene.role == role]

    def path(self, scene: Scene) -> Path:
        """Return the path of a scene's image.

        Raises:
            OnelookError: the image is outside the data folder.
        """
        return resolve_inside(self.root, scene.image)

    @property
    def detection_only(self) -> bool:
        """Return True if no face has an identity."""
        return not any(face.identity is not None for scene in self.scenes for face in scene.faces)

    def identities(self, split: Split) -> list[str]:
        """Return the sorted names of the people in a split."""
        return sorted({f.identity for s in self.scenes if s.split == split for f in s.faces if f.identity is not None})


def write_manifest(root: Path, scenes: Iterable[Scene]) -> None:
    """Write the manifest of a data folder; equal scenes give equal bytes."""
    write_text(root / MANIFEST, "".join(json.dumps(_scene_to_json(s), ensure_ascii=False) + "\n" for s in scenes))


def read_manifest(root: Path) -> Manifest:
    """Read the manifest of a data folder.

    Raises:
        DataError: the file is missing, a line is damaged, or a person is in two splits.
    """
    path = root / MANIFEST
    if not path.is_file():
        raise DataError(f"{path}: no such manifest; run `dvc repro prepare` first")
    scenes = tuple(_read_lines(path))
    owner: dict[str, str] = {}
    for scene in scenes:
        for face in scene.faces:
            if face.identity is not None and owner.setdefault(face.identity, scene.split) != scene.split:
                raise DataError(
                    f"{path}: {printable(face.identity)} is in both {owner[face.identity]} and {scene.split}; "
                    "splits must not share people"
                )
    return Manifest(root, scenes)


def _read_lines(path: Path) -> Iterator[Scene]:
    number = 0
    try:
        with path.open("rb") as stream:
            for line in iter_lines(stream):
                number += 1
                yield _scene_from_json(parse_json(line))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{path}, line {number}: not a scene ({one_line(error)}); run `dvc repro -f prepare`"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _scene_to_json(scene: Scene) -> dict[str, object]:
    ignored = {"ignored": [_box_to_json(box) for box in scene.ignored]} if len(scene.ignored) else {}
    unturned = {"unturned": scene.unturned} if scene.unturned else {}
    return {
        "image": scene.image,
        "width": scene.width,
        "height": scene.height,
        "split": scene.split,
        "role": scene.role,
        "source": scene.source,
        "license": scene.license,
        "faces": [_face_to_json(face) for face in scene.faces],
        **ignored,
        **unturned,
    }


def _face_to_json(face: Face) -> dict[str, object]:
    # JSON has no NaN, so an absent point is null.
    points = [[round(float(c), 3) for c in p] if np.isfinite(p).all() else None for p in face.landmarks]
    return {"box": _box_to_json(face.box), "landmarks": points, "identity": face.identity, "source": face.source}


def _box_to_json(box: np.ndarray) -> list[float]:
    return [round(float(c), 3) for c in box]


def _scene_from_json(value: dict) -> Scene:
    if value["split"] not in ("train", "validation", "test") or value["role"] not in ("scene", "enroll", "crop"):
        raise ValueError(f"split {value['split']!r:.40}, role {value['role']!r:.40}")
    for key in ("image", "source", "license", "unturned"):
        if not isinstance(value.get(key, ""), str):
            raise TypeError(f"{key} is not text")
    if not value["image"].isprintable():
        raise ValueError("image is not the name of a file")
    return Scene(
        image=value["image"],
        width=int(value["width"]),
        height=int(value["height"]),
        split=value["split"],
        role=value["role"],
        faces=tuple(_face_from_json(face) for face in value["faces"]),
        source=value["source"],
        license=value["license"],
        ignored=_finite(value.get("ignored", []), (-1, 4)),
        unturned=value.get("unturned", ""),
    )


def _face_from_json(value: dict) -> Face:
    identity, source = value["identity"], value["source"]
    if not isinstance(source, str) or not (identity is None or isinstance(identity, str)):
        raise TypeError("identity or source of a face is not text")
    points = value["landmarks"]
    landmarks = _finite([(0, 0) if point is None else point for point in points], (5, 2))
    landmarks[[point is None for point in points]] = np.nan
    return Face(_finite(value["box"], (4,)), landmarks, identity, source)


def _finite(values: list, shape: tuple[int, ...]) -> np.ndarray:
    """Convert numbers to float32 of a shape.

    Raises:
        ValueError: a number is absent, or too large for the type.
    """
    with np.errstate(over="ignore"):
        array = np.asarray(values, np.float32).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("a coordinate is not a finite number")
    return array


def select_training_scenes(scenes: Iterable[Scene]) -> list[Scene]:
    """Return the training scenes and crops in order, without enrollment photos."""
    return [scene for scene in scenes if scene.split == "train" and scene.role != "enroll"]
