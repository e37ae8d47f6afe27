"""Composition of scenes: head crops pasted over background photographs.

Artifacts of pasting must not reveal faces to the detector: patches of other backgrounds have the same soft edges, and
blur, noise and compression act on the whole scene.
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

MAX_PLACEMENT_TRIES = 40
"""Number of random positions of a head before it is scaled down."""


@dataclass(eq=False)
class _Canvas:
    """Scene during composition.

    Attributes:
        image: RGB (height, width, 3) float32.
        faces: the faces placed.
        visible: visibility of each pixel of each face's box, (rows, columns) float32 from 0 to 1.
    """

    image: np.ndarray
    faces: list[Face] = field(default_factory=list)
    visible: list[np.ndarray] = field(default_factory=list)


def sample_subjects(
    scenes: int, indices: Mapping[str, Sequence[int]], settings: ComposeSettings, rng: np.random.Generator
) -> list[list[int]]:
    """Sample the subjects of every scene, balanced over all scenes.

    A scene shows an identity at most once, and the use counts of all subjects are nearly equal. A scene with more faces
    than there are identities shows every identity.

    Args:
        scenes: number of scenes.
        indices: subject indices of each identity.
        settings: `empty_fraction` and `faces_per_scene` are used.
        rng: random number generator.

    Returns:
        Subject indices of each scene.
    """
    owner = {index: name for name, own in indices.items() for index in own}
    ordered = np.array(sorted(owner))
    uses: Counter[int] = Counter()
    empty = set(rng.permutation(scenes)[: round(settings.empty_fraction * scenes)].tolist())
    samples = []
    for scene in range(scenes):
        low, high = settings.faces_per_scene
        count = 0 if scene in empty else int(rng.integers(low, high + 1))
        sample: dict[str, int] = {}
        # Least used first; the stable sort keeps ties in random order.
        for index in sorted(rng.permutation(ordered).tolist(), key=uses.__getitem__):
            if len(sample) == count:
                break
            sample.setdefault(owner[index], index)
        uses.update(sample.values())
        samples.append(list(sample.values()))
    return samples


def compose_scene(
    heads: Sequence[FaceCrop],
    background: Background,
    textures: Sequence[Background],
    settings: ComposeSettings,
    rng: np.random.Generator,
) -> tuple[np.ndarray, tuple[Face, ...]]:
    """Compose one scene.

    - Every box is inside the scene, and no box contains the center of another.
    - Later heads cover at most the fraction `settings.max_overlap` of a face's box.
    - A head without a valid position is scaled down step by step to the smallest size, then dropped.

    Args:
        heads: heads to paste.
        background: background of the scene.
        textures: photographs for the decoy patches.
        settings: size of the scene and of the faces, and limits on their placement.
        rng: random number generator.

    Returns:
        RGB (height, width, 3) uint8 and its faces.
    """
    view = random_view(background.image, settings.width, settings.height, rng)
    canvas = _Canvas(view.astype(np.float32))
    for _ in range(rng.integers(0, 5)):
        _add_decoy(canvas, textures[int(rng.integers(len(textures)))], settings, rng)
    low, high = np.log(settings.face_size)
    sizes = np.exp(rng.uniform(low, high, len(heads)))
    for i in np.argsort(-sizes):  # large heads first, as they need more space
        _add_head(canvas, heads[i], float(sizes[i]), settings, rng)
    return _simulate_camera(canvas.image, rng), tuple(canvas.faces)


def _add_head(
    canvas: _Canvas, head: FaceCrop, size: float, settings: ComposeSettings, rng: np.random.Generator
) -> None:
    """Paste a head at a random position, scaled down until it fits."""
    degrees = rng.uniform(-settings.max_rotation, settings.max_rotation)
    mask = head_mask(head, rng)
    while True:
        patch = transform_head(head, mask, size, degrees)
        position = _find_position(canvas, patch, settings, rng)
        if position is not None:
            break
        if size == settings.face_size[0]:
            return
        size = max(size * 0.7, settings.face_size[0])
    patch = HeadPatch(_relight(patch.image, head.is_gray, size, rng), patch.alpha, patch.box, patch.landmarks)
    x, y = position
    for face, visible in zip(canvas.faces, canvas.visible, strict=True):
        visible *= 1 - _box_coverage(face.box, patch, x, y)
    _paste(canvas.image, patch.image, patch.alpha, x, y)
    box = patch.box + np.array([x, y, x, y], np.float32)
    canvas.faces.append(Face(box, patch.landmarks + np.array([x, y], np.float32), head.face.identity, head.face.source))
    canvas.visible.append(np.ones_like(_box_coverage(box, patch, x, y)))


def _find_position(
    canvas: _Canvas, patch: HeadPatch, settings: ComposeSettings, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Return a random valid position of a patch, None if all tries fail."""
    low = np.ceil(-patch.box[:2]).astype(int)
    high = np.floor((settings.width, settings.height) - patch.box[2:]).astype(int)
    if (high < low).any():
        return None
    for x, y in rng.integers(low, high + 1, (MAX_PLACEMENT_TRIES, 2)).tolist():
        if all(
            _exclude_centers(face.box, patch.box + np.array([x, y, x, y]))
            and 1 - float(np.mean(visible * (1 - _box_coverage(face.box, patch, x, y)))) <= settings.max_overlap
            for face, visible in zip(canvas.faces, canvas.visible, strict=True)
        ):
            return x, y
    return None


def _exclude_centers(a: np.ndarray, b: np.ndarray) -> bool:
    """Return True if neither box contains the center of the other."""
    distance = np.abs(a[:2] + a[2:] - b[:2] - b[2:]) / 2
    return bool((distance > np.maximum(a[2:] - a[:2], b[2:] - b[:2]) / 2).any())


def _box_coverage(box: np.ndarray, patch: HeadPatch, x: int, y: int) -> np.ndarray:
    """Return the opacity of a patch at (x, y) over a box, (rows, columns) float32."""
    left, top = np.floor(box[:2]).astype(int).tolist()
    right, bottom = np.ceil(box[2:]).astype(int).tolist()
    covered = np.zeros((bottom - top, right - left), np.float32)
    rows, columns = patch.alpha.shape
    x1, y1, x2, y2 = max(left, x), max(top, y), min(right, x + columns), min(bottom, y + rows)
    if x1 < x2 and y1 < y2:
        covered[y1 - top : y2 - top, x1 - left : x2 - left] = patch.alpha[y1 - y : y2 - y, x1 - x : x2 - x]
    return covered


def _paste(canvas: np.ndarray, image: np.ndarray, alpha: np.ndarray, x: int, y: int) -> None:
    """Alpha-blend an image over the canvas at (x, y), in place."""
    rows, columns = alpha.shape
    x1, y1 = max(0, x), max(0, y)
    x2, y2 = min(canvas.shape[1], x + columns), min(canvas.shape[0], y + rows)
    if x1 >= x2 or y1 >= y2:
        return
    foreground = image[y1 - y : y2 - y, x1 - x : x2 - x]
    opacity = alpha[y1 - y : y2 - y, x1 - x : x2 - x, None]
    region = canvas[y1:y2, x1:x2]
    region += opacity * (foreground - region)


def _add_decoy(canvas: _Canvas, texture: Background, settings: ComposeSettings, rng: np.random.Generator) -> None:
    """Paste a head-shaped patch of another photograph, with a head's soft edge."""
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
    _paste(canvas.image, image.astype(np.float32), alpha, left, top)


def _relight(image: np.ndarray, is_gray: bool, size: float, rng: np.random.Generator) -> np.ndarray:
    """Change the lighting and the tint of a head at random.

    Three quarters of the gray images are tinted from pale to brown, by a curve per channel that preserves black and
    white. Color images only get a slight color cast.

    Returns:
        float32 of the same shape, about 0 to 255.
    """
    levels = np.linspace(0, 1, 256)[:, None]
    exponent, color_cast = np.ones(3), np.ones(3)
    is_tinted = is_gray and rng.random() < 0.75
    if is_tinted:
        warmth = rng.uniform(0.1, 0.45)
        exponent = np.array([1 - warmth, 1 + rng.uniform(-0.05, 0.1), 1 + warmth * rng.uniform(0.6, 1.2)])
    if is_tinted or not is_gray:
        color_cast = rng.uniform(0.94, 1.06, 3)
    contrast, brightness = rng.uniform(0.75, 1.2), rng.uniform(-0.1, 0.1)
    curve = (levels ** (exponent * rng.uniform(0.7, 1.4)) * color_cast - 0.5) * contrast + 0.5 + brightness
    table = (255 * np.clip(curve, 0, 1)).astype(np.float32)
    relit = cv2.LUT(image, table[None])
    height, width = image.shape[:2]
    gradient = rng.uniform(-0.25, 0.25, 2)  # light from the side
    shading = 1 + gradient[0] * np.linspace(-1, 1, width)[None, :] + gradient[1] * np.linspace(-1, 1, height)[:, None]
    relit = relit * shading[..., None].astype(np.float32)
    sigma = rng.uniform(0, 0.012) * size
    return cv2.GaussianBlur(relit, (0, 0), sigma) if sigma > 0.3 else relit


def _simulate_camera(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate a camera: slight blur, noise and JPEG compression."""
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
