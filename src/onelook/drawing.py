"""Drawing of faces into an image, and contact sheets."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from onelook.geometry.mesh import edges
from onelook.label_layout import place_labels

Color = tuple[int, int, int]

# RGB of the palette that color-blind people can tell apart (Okabe and Ito 2008, Color Universal Design).
SKY: Color = (86, 180, 233)
ORANGE: Color = (230, 159, 0)
GREEN: Color = (0, 158, 115)
VERMILLION: Color = (213, 94, 0)

_BLACK: Color = (0, 0, 0)
# Bits behind the point of OpenCV's coordinates.
_FRACTION = 4

_DEJAVU = Path(__file__).with_name("fonts") / "DejaVuSans.ttf"


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    landmarks: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    colors: Sequence[Color] | None = None,
    thin: Sequence[bool] | None = None,
) -> np.ndarray:
    """Draw boxes, landmarks and labels into a copy of an image.

    Line widths and letters scale with the image and the boxes. Labels cover neither other boxes nor each other; a label
    without room is left out (`label_layout`).

    Args:
        image: RGB uint8 (H, W, 3); it is not changed.
        boxes: (n, 4) x1 y1 x2 y2 in pixels of the image; clipped at its border.
        landmarks: (n, 5, 2), NaN where absent; None draws none.
        labels: n lines of text in any script, empty for none; None draws none.
        colors: n colors of boxes; None: all `SKY`.
        thin: which of the n boxes have thin lines; None: none of them.

    Returns:
        A new RGB uint8 image (H, W, 3).
    """
    picture = np.ascontiguousarray(image).copy()
    height, width = picture.shape[:2]
    box_colors = colors if colors is not None else [SKY] * len(boxes)
    clipped = np.clip(np.nan_to_num(boxes), 0, [width, height, width, height]).round().astype(int).reshape(-1, 4)
    lines = _line_widths(clipped, height, width)
    for box, color, line, is_thin in zip(clipped, box_colors, lines, thin or [False] * len(boxes), strict=True):
        x1, y1, x2, y2 = (int(c) for c in box)
        if x2 > x1 and y2 > y1:
            line = max(1, line // 2) if is_thin else line
            if line > 1 or not is_thin:
                # A dark rim keeps the box visible on a background of its color; it would hide a line of one pixel.
                cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), _BLACK, line + 2)
            cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), color, line)
    if landmarks is not None:
        for points, color, line in zip(landmarks, box_colors, lines, strict=True):
            for x, y in points[np.isfinite(points).all(axis=1)].clip(-width - height, 2 * (width + height)):
                cv2.circle(picture, (round(float(x)), round(float(y))), line + 1, _BLACK, -1, cv2.LINE_AA)
                cv2.circle(picture, (round(float(x)), round(float(y))), line, color, -1, cv2.LINE_AA)
    if labels is not None:
        # Last, so that no box of a neighbor crosses a name.
        _draw_labels(picture, clipped, labels, box_colors, lines)
    return picture


def draw_mesh(image: np.ndarray, vertices: np.ndarray, color: Color = SKY) -> np.ndarray:
    """Draw the edges of a face's mesh, half transparent.

    Args:
        image: RGB uint8 (H, W, 3); it is not changed.
        vertices: (468, 2 or 3) in pixels of the image; depth is not shown.
        color: of the lines.

    Returns:
        A new RGB uint8 image (H, W, 3).
    """
    ends = _to_fixed_point(vertices[edges(), :2])
    lines = np.ascontiguousarray(image).copy()
    cv2.polylines(lines, list(ends), False, color, 1, cv2.LINE_AA, _FRACTION)
    return cv2.addWeighted(lines, 0.6, np.ascontiguousarray(image), 0.4, 0)


def fill_triangles(image: np.ndarray, corners: np.ndarray, color: Color = ORANGE) -> np.ndarray:
    """Fill triangles, half transparent.

    Args:
        image: RGB uint8 (H, W, 3); it is not changed.
        corners: (n, 3, 2) in pixels of the image.
        color: of the triangles.

    Returns:
        A new RGB uint8 image (H, W, 3).
    """
    filled = np.ascontiguousarray(image).copy()
    for triangle in _to_fixed_point(corners):
        cv2.fillConvexPoly(filled, triangle, color, cv2.LINE_AA, _FRACTION)
    return cv2.addWeighted(filled, 0.8, np.ascontiguousarray(image), 0.2, 0)


def _to_fixed_point(points: np.ndarray) -> np.ndarray:
    """Convert coordinates in pixels to OpenCV's integers, which put pixel centers at whole numbers."""
    return np.clip((points - 0.5) * 2**_FRACTION, -(2**20), 2**20).round().astype(np.int32)


def tile_images(images: Sequence[np.ndarray], columns: int, width: int) -> np.ndarray:
    """Tile images into a contact sheet: cells of one width, row by row, on white.

    Args:
        images: RGB uint8 (H, W, 3), of any sizes.
        columns: cells in a row.
        width: of the sheet, in pixels.

    Returns:
        RGB uint8 (height, width, 3).
    """
    gap = 4
    cell = (width - gap * (columns + 1)) // columns
    scaled = [_to_width(image, cell) for image in images]
    rows = [scaled[start : start + columns] for start in range(0, len(scaled), columns)]
    height = gap + sum(max(image.shape[0] for image in row) + gap for row in rows)
    sheet = np.full((height, width, 3), 255, np.uint8)
    top = gap
    for row in rows:
        for column, image in enumerate(row):
            left = gap + column * (cell + gap)
            sheet[top : top + image.shape[0], left : left + cell] = image
        top += max(image.shape[0] for image in row) + gap
    return sheet


def _to_width(image: np.ndarray, width: int) -> np.ndarray:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    shrinks = width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _line_widths(boxes: np.ndarray, height: int, width: int) -> list[int]:
    """Return the line width of each box in pixels: by the size of the image, at most a sixteenth of the box."""
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=width)
    return np.minimum(round((height + width) / 600), sides // 16).clip(1).tolist()


def _draw_labels(
    picture: np.ndarray, boxes: np.ndarray, labels: Sequence[str], colors: Sequence[Color], lines: Sequence[int]
) -> None:
    """Draw labels on plates beside their boxes, with a line to the box where a label lies away from it.

    Args:
        picture: RGB uint8 (H, W, 3), drawn into.
        boxes: (n, 4) int x1 y1 x2 y2, inside the picture.
        labels: n lines of text, empty for none.
        colors: n colors of the plates.
        lines: n line widths in pixels.
    """
    height, width = picture.shape[:2]
    plates = [
        [_make_plate(label, letters, width) for letters in _letter_sizes(box, height, width)] if label else []
        for box, label in zip(boxes, labels, strict=True)
    ]
    placements = place_labels(boxes, [[plate.shape for plate in each] for each in plates], height, width)
    placed = [(*each, plates[i][each.size], boxes[i], colors[i], lines[i]) for i, each in enumerate(placements) if each]
    for _, left, top, is_away, plate, box, color, line in placed:
        if is_away:
            ends = np.array([[left, top], np.array([left, top]) + plate.shape[::-1]])
            start, end = np.clip(box.reshape(2, 2).mean(axis=0), *ends), box.reshape(2, 2).mean(axis=0)
            cv2.line(picture, start.round().astype(int).tolist(), end.round().astype(int).tolist(), color, line)
    for _, left, top, _, plate, _, color, _ in placed:
        rows, columns = plate.shape
        paper = 1 - plate[:, :, None].astype(np.float32) / 255
        # Black on these colors has a contrast of at least 5 to 1.
        picture[top : top + rows, left : left + columns] = (np.asarray(color) * paper).round().astype(np.uint8)


def _letter_sizes(box: np.ndarray, height: int, width: int) -> list[int]:
    """Return the heights of letters to try for a box, in pixels, largest first."""
    smallest, largest = (max(11, round((height + width) / divisor)) for divisor in (200, 90))
    first = min(max(0.2 * float(box[3] - box[1]), smallest), largest)
    return sorted({round(first), round((first + smallest) / 2), smallest}, reverse=True)


def _make_plate(label: str, letters: int, width: int) -> np.ndarray:
    """Rasterize a label with a margin, (h, w) uint8 coverage; shortened to fit into `width` pixels."""
    margin = max(2, letters // 5)
    ink = text_mask(label, letters)
    room = width - 2 * margin
    if ink.shape[1] > room:
        ink = text_mask(label[: max(0, len(label) * room // ink.shape[1] - 1)] + "…", letters)
    return np.pad(ink, margin)[:, :width]


def text_mask(text: str, size: int) -> np.ndarray:
    """Rasterize a line of text to coverage (h, w) uint8, 255 where there is ink.

    DejaVu Sans, which shapes scripts such as Arabic, is used where it has every letter; otherwise the font inside
    OpenCV, which has Chinese, Japanese and Korean.

    Args:
        text: the line.
        size: height of the letters, in pixels.
    """
    if all(map(_is_in_dejavu, text)):
        font = ImageFont.truetype(_DEJAVU, size)
        ascent, descent = font.getmetrics()
        image = Image.new("L", (max(1, round(font.getlength(text))), ascent + descent))
        ImageDraw.Draw(image).text((0, 0), text, 255, font)
        return np.asarray(image)
    face = cv2.FontFace("uni")
    (left, top, width, height) = cv2.getTextSize((1, 1), text, (0, 0), face, size)
    canvas = np.zeros((height + size // 2, width + size // 4, 3), np.uint8)
    cv2.putText(canvas, text, (-left, size // 4 - top), (255, 255, 255), face, size)
    return canvas[:, :, 0]


@cache
def _is_in_dejavu(character: str) -> bool:
    """Return True if the font draws a character differently from one that Unicode does not have."""
    font = ImageFont.truetype(_DEJAVU, 20, layout_engine=ImageFont.Layout.BASIC)
    own, missing = (font.getmask(each) for each in (character, "\uffff"))
    return (own.size, bytes(own)) != (missing.size, bytes(missing))
