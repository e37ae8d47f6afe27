"""Scenes of several people, composed from cut-out heads over background photographs.

What could give a pasted head away is spread over everything: feathered edges also surround patches of other
backgrounds, and blur, noise and compression act on the whole scene.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from onelook.data.manifest import Face
from onelook.data.synthesis.backgrounds import Background, random_view
from onelook.data.synthesis.face_crop import FaceCrop, HeadPatch, head_mask, soft_edge, transform_head
from onelook.settings import ComposeSettings

TRIES = 40
"""Positions tried for a head before it is made smaller."""


@dataclass(eq=False)
class _Canvas:
    """A scene being composed.

    Attributes:
        image: RGB (height, width, 3) float32.
        faces: placed so far.
        visible: for each of them, how far each pixel of its box is uncovered: (rows, columns) float32.
    """

    image: np.ndarray
    faces: list[Face] = field(default_factory=list)
    visible: list[np.ndarray] = field(default_factory=list)


def sample_subjects(
    scenes: int, photos: Mapping[str, Sequence[int]], settings: ComposeSettings, rng: np.random.Generator
) -> list[list[int]]:
    """Decide who appears in which scene.

    Args:
        scenes: how many.
        photos: the numbers of each person's photos.
        settings: `empty` (the share of scenes without a face) and `faces` (fewest and most of the others).
        rng: the random choices.

    Returns:
        For each scene its photo numbers: nobody twice in a scene, and over all scenes every photo about equally often.
        Where fewer people are left to draw from than faces are asked for, all of them appear.
    """
    owner = {number: name for name, numbers in photos.items() for number in numbers}
    numbers = np.array(sorted(owner))
    used: Counter[int] = Counter()
    empty = set(rng.permutation(scenes)[: round(settings.empty_fraction * scenes)].tolist())
    casts = []
    for scene in range(scenes):
        wanted = (
            0 if scene in empty else int(rng.integers(settings.faces_per_scene[0], settings.faces_per_scene[1] + 1))
        )
        chosen: dict[str, int] = {}
        # The least used first, in random order among equals (the sort is stable).
        for number in sorted(rng.permutation(numbers).tolist(), key=used.__getitem__):
            if len(chosen) == wanted:
                break
            chosen.setdefault(owner[number], number)
        used.update(chosen.values())
        casts.append(list(chosen.values()))
    return casts


def compose_scene(
    heads: Sequence[FaceCrop],
    background: Background,
    textures: Sequence[Background],
    settings: ComposeSettings,
    rng: np.random.Generator,
) -> tuple[np.ndarray, tuple[Face, ...]]:
    """Compose one scene.

    Every box lies inside the scene; no box's center lies in another box; of no face's box more than
    `settings.overlap` is covered by later heads. A head that finds no such place is made smaller, down to the smallest
    size; if that does not help it is left out.

    Args:
        heads: who is in it.
        background: what is behind them.
        textures: photographs that the decoy patches are taken from.
        settings: size of the scene, of the faces, and how they may lie.
        rng: the random choices.

    Returns:
        RGB (height, width, 3) uint8 and the faces in it.
    """
    view = random_view(background.image, settings.width, settings.height, rng)
    canvas = _Canvas(view.astype(np.float32))
    for _ in range(rng.integers(0, 5)):
        _add_decoy(canvas, textures[int(rng.integers(len(textures)))], settings, rng)
    low, high = np.log(settings.face_size)
    sizes = np.exp(rng.uniform(low, high, len(heads)))
    for i in np.argsort(-sizes):  # the large ones first: they need the room
        _add_head(canvas, heads[i], float(sizes[i]), settings, rng)
    return _finish(canvas.image, rng), tuple(canvas.faces)


def _add_head(
    canvas: _Canvas, head: FaceCrop, size: float, settings: ComposeSettings, rng: np.random.Generator
) -> None:
    degrees = rng.uniform(-settings.max_rotation, settings.max_rotation)
    mask = head_mask(head, rng)
    while True:
        patch = transform_head(head, mask, size, degrees)
        position = _find_place(canvas, patch, settings, rng)
        if position is not None:
            break
        if size == settings.face_size[0]:
            return
        size = max(size * 0.7, settings.face_size[0])
    patch = HeadPatch(_relight(patch.image, head.gray, size, rng), patch.alpha, patch.box, patch.landmarks)
    x, y = position
    for face, visible in zip(canvas.faces, canvas.visible, strict=True):
        visible *= 1 - _alpha_over(face.box, patch, x, y)
    _lay_over(canvas.image, patch.image, patch.alpha, x, y)
    box = patch.box + np.array([x, y, x, y], np.float32)
    canvas.faces.append(Face(box, patch.landmarks + np.array([x, y], np.float32), head.face.identity, head.face.source))
    canvas.visible.append(np.ones_like(_alpha_over(box, patch, x, y)))


def _find_place(
    canvas: _Canvas, patch: HeadPatch, settings: ComposeSettings, rng: np.random.Generator
) -> tuple[int, int] | None:
    low = np.ceil(-patch.box[:2]).astype(int)
    high = np.floor((settings.width, settings.height) - patch.box[2:]).astype(int)
    if (high < low).any():
        return None
    for x, y in rng.integers(low, high + 1, (TRIES, 2)).tolist():
        if all(
            _apart(face.box, patch.box + np.array([x, y, x, y]))
            and 1 - float(np.mean(visible * (1 - _alpha_over(face.box, patch, x, y)))) <= settings.max_overlap
            for face, visible in zip(canvas.faces, canvas.visible, strict=True)
        ):
            return x, y
    return None


def _apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether neither box holds the other's center."""
    distance = np.abs(a[:2] + a[2:] - b[:2] - b[2:]) / 2
    return bool((distance > np.maximum(a[2:] - a[:2], b[2:] - b[:2]) / 2).any())


def _alpha_over(box: np.ndarray, patch: HeadPatch, x: int, y: int) -> np.ndarray:
    """How far a patch laid at (x, y) covers each whole pixel of a box: (rows, columns) float32."""
    left, top = np.floor(box[:2]).astype(int).tolist()
    right, bottom = np.ceil(box[2:]).astype(int).tolist()
    covered = np.zeros((bottom - top, right - left), np.float32)
    rows, columns = patch.alpha.shape
    x1, y1, x2, y2 = max(left, x), max(top, y), min(right, x + columns), min(bottom, y + rows)
    if x1 < x2 and y1 < y2:
        covered[y1 - top : y2 - top, x1 - left : x2 - left] = patch.alpha[y1 - y : y2 - y, x1 - x : x2 - x]
    return covered


def _lay_over(canvas: np.ndarray, image: np.ndarray, alpha: np.ndarray, x: int, y: int) -> None:
    rows, columns = alpha.shape
    x1, y1 = max(0, x), max(0, y)
    x2, y2 = min(canvas.shape[1], x + columns), min(canvas.shape[0], y + rows)
    if x1 >= x2 or y1 >= y2:
        return
    above = image[y1 - y : y2 - y, x1 - x : x2 - x]
    share = alpha[y1 - y : y2 - y, x1 - x : x2 - x, None]
    below = canvas[y1:y2, x1:x2]
    below += share * (above - below)


def _add_decoy(canvas: _Canvas, texture: Background, settings: ComposeSettings, rng: np.random.Generator) -> None:
    """Lay a head-shaped patch of another photograph over the scene, with the same kinds of edge a head gets."""
    low, high = np.log(settings.face_size)
    height = round(float(np.exp(rng.uniform(low, high))) * rng.uniform(1.3, 1.9))
    width = round(height * rng.uniform(0.65, 0.95))
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = rng.uniform(-settings.max_rotation, settings.max_rotation)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    power = rng.uniform(2, 4)
    radius = (np.abs(x * cosine + y * sine) ** power + np.abs(y * cosine - x * sine) ** power) ** (1 / power)
    alpha = soft_edge(radius * 1.1, rng.uniform(0.1, 0.3)).astype(np.float32)
    image = random_view(texture.image, width, height, rng)
    left = int(rng.integers(-width // 3, settings.width - width // 2))
    top = int(rng.integers(-height // 3, settings.height - height // 2))
    _lay_over(canvas.image, image.astype(np.float32), alpha, left, top)


def _relight(image: np.ndarray, gray: bool, size: float, rng: np.random.Generator) -> np.ndarray:
    """Another light on a head: float32 of the same shape, about 0 to 255.

    Gray photos are mostly tinted, by a curve per channel that leaves black black and white white, from pale to brown; a
    quarter of them stays gray. Color photos only get a slight cast.
    """
    levels = np.linspace(0, 1, 256)[:, None]
    exponent, cast_light = np.ones(3), np.ones(3)
    tinted = gray and rng.random() < 0.75
    if tinted:
        warmth = rng.uniform(0.1, 0.45)
        exponent = np.array([1 - warmth, 1 + rng.uniform(-0.05, 0.1), 1 + warmth * rng.uniform(0.6, 1.2)])
    if tinted or not gray:
        cast_light = rng.uniform(0.94, 1.06, 3)
    contrast, brightness = rng.uniform(0.75, 1.2), rng.uniform(-0.1, 0.1)
    curve = (levels ** (exponent * rng.uniform(0.7, 1.4)) * cast_light - 0.5) * contrast + 0.5 + brightness
    table = (255 * np.clip(curve, 0, 1)).astype(np.float32)
    lit = cv2.LUT(image, table[None])
    height, width = image.shape[:2]
    fall = rng.uniform(-0.25, 0.25, 2)  # light from one side
    slope = 1 + fall[0] * np.linspace(-1, 1, width)[None, :] + fall[1] * np.linspace(-1, 1, height)[:, None]
    lit = lit * slope[..., None].astype(np.float32)
    sigma = rng.uniform(0, 0.012) * size
    return cv2.GaussianBlur(lit, (0, 0), sigma) if sigma > 0.3 else lit


def _finish(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the camera and the network it was sent over do to a photo: slight blur, noise, compression."""
    sigma = rng.uniform(-0.6, 0.8)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    noise = rng.standard_normal(image.shape[:2], np.float32) * rng.uniform(0, 5)
    finished = np.clip(image + noise[..., None], 0, 255).round().astype(np.uint8)
    if rng.random() < 0.5:
        quality = int(rng.integers(60, 95))
        _, encoded = cv2.imencode(".jpg", finished[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
        finished = np.ascontiguousarray(decoded[..., ::-1])
    return finished
