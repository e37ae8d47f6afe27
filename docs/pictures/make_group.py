"""Make the group picture of the README: a group photo, identified with the released weights.

python docs/pictures/make_group.py --data ../shared/data      # writes docs/pictures/group.jpg

The script enrolls the neutral portraits under invented names into a temporary gallery. It composes one group photo from
the smiling portraits and draws the names that the gallery returns. One person is not enrolled and stays unknown.

Portraits: Face Research Lab London Set, DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0.
Everyone in it consented to being shown. The names are invented.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from onelook.data.image_io import read_image
from onelook.gallery.drawing import draw_faces
from onelook.gallery.gallery import create_gallery
from onelook.inference.torch_predictor import public_detector
from onelook.settings import DetectSettings

NAMES = {
    "001": "Elena",
    "002": "Clara",
    "003": "Ruth",
    "005": "Kenji",
    "006": "Priya",
    "008": "Arjun",
    "024": "Mateo",
    "025": "Amara",
    "030": "Mei",
    "042": "Kofi",
    "043": "Daniel",
}
"""Portraits to enroll; 037 is left out on purpose."""

BACK_ROW = ("008", "001", "042", "003", "005")
FRONT_ROW = ("002", "037", "025", "030")
WIDTH, HEIGHT = 1600, 800
HEAD_HEIGHT = 264  # of everyone, from crown to chin, in pixels
SPACING = 308  # between neighbors of a row, in pixels
BACK_CROWN, FRONT_CROWN = 84, 410  # height of the crowns of each row, in pixels from the top
SHADOW = 0.22  # of everyone on what is behind, as a fraction of its brightness
QUALITY = 90


def main() -> None:
    """Enroll, compose, identify, draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds portraits/")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "group.jpg")
    arguments = parser.parse_args()
    portraits: Path = arguments.data / "portraits"
    with tempfile.TemporaryDirectory() as folder:
        gallery = create_gallery(Path(folder) / "gallery")
        for number, name in NAMES.items():
            gallery.enroll(name, [portraits / f"{number}_neutral.jpg"])
        group = compose(portraits)
        faces = gallery.identify(group)
    for face in faces:
        print(face.name or "unknown", face.similarity, face.box.round().astype(int).tolist())
    Image.fromarray(draw_faces(group, faces)).save(arguments.out, quality=QUALITY, optimize=True)


def compose(portraits: Path) -> np.ndarray:
    """Compose the group photo, RGB uint8 (HEIGHT, WIDTH, 3), the back row first."""
    canvas = studio()
    for row, crown in ((BACK_ROW, BACK_CROWN), (FRONT_ROW, FRONT_CROWN)):
        first = WIDTH / 2 - SPACING * (len(row) - 1) / 2
        for column, number in enumerate(row):
            paste(canvas, read_image(portraits / f"{number}_smiling.jpg"), first + SPACING * column, crown)
    return canvas.round().astype(np.uint8)


def studio(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a light gray backdrop with the vignette of the portraits, float32 (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot((x - width / 2) / width, (y - 0.55 * height) / height)
    gray = 214 - 46 * distance**1.5
    return np.stack([gray - 1, gray, gray + 1], axis=-1)


def paste(
    canvas: np.ndarray, portrait: np.ndarray, center: float, crown: float, head_height: float = HEAD_HEIGHT
) -> None:
    """Blend a portrait into the canvas; the shirt is continued down to the lower edge.

    Args:
        canvas: float32 (H, W, 3), changed in place.
        portrait: RGB uint8 (h, w, 3) of one person on a plain backdrop.
        center: x of the person's face on the canvas, in pixels.
        crown: y of the top of the head on the canvas, in pixels.
        head_height: from crown to chin on the canvas, in pixels.
    """
    alpha = matte(portrait, fit_backdrop(portrait))
    top, chin, middle = head_extent(portrait)
    extra = portrait.shape[0]
    person = np.concatenate([portrait.astype(np.float32), shirt(portrait, alpha, middle, extra)])
    alpha = np.pad(alpha, ((0, extra), (0, 0)), mode="edge")
    scale = head_height / (chin - top)
    move = np.array([[scale, 0, center - scale * middle], [0, scale, crown - scale * top]], np.float32)
    size = (canvas.shape[1], canvas.shape[0])
    alpha = cv2.warpAffine(alpha, move, size, flags=cv2.INTER_AREA)[:, :, None]
    person = cv2.warpAffine(person, move, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    shadow = cv2.GaussianBlur(alpha, (0, 0), 22)[:, :, None]
    canvas[:] = (alpha * person + (1 - alpha) * (1 - SHADOW * shadow) * canvas).clip(0, 255)


def shirt(portrait: np.ndarray, alpha: np.ndarray, middle: float, rows: int) -> np.ndarray:
    """Continue the white shirt below a portrait that ends at the neckline, float32 (rows, w, 3).

    The skin that the lowest row shows narrows to nothing along half an ellipse, like a round neckline.
    """
    width = portrait.shape[1]
    lowest = portrait[-6:].astype(np.float32).mean(axis=0)
    white = (lowest.max(axis=1) - lowest.min(axis=1) < 28) & (lowest.mean(axis=1) > 150) & (alpha[-1] > 0.5)
    skin = ~white & (alpha[-1] > 0.5) & (np.abs(np.arange(width) - middle) < width / 4)
    cloth = _smooth(lowest, white, 30)
    fade = np.clip(np.arange(rows, dtype=np.float32) / 80, 0, 1)[:, None, None]
    result = (1 - fade) * _smooth(lowest, white, 5) + fade * cloth
    if skin.sum() > width / 30:
        first, last = np.flatnonzero(skin)[[0, -1]]
        half, neck = (last - first) / 2, (first + last) / 2
        y, x = np.mgrid[0:rows, 0:width].astype(np.float32)
        edge = (1 - np.hypot((x - neck) / half, y / (0.7 * half))) * half
        inside = np.clip(edge / 2 + 0.5, 0, 1)[:, :, None]
        hem = np.exp(-((edge / 4) ** 2))[:, :, None]
        result = inside * _smooth(lowest, skin, 12) + (1 - inside) * result
        result *= 1 - 0.12 * hem
    return result.astype(np.float32)


def _smooth(row: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Blur the known pixels of a row (w, 3) and extend them to the others."""
    weight = cv2.GaussianBlur(known.astype(np.float32)[None], (0, 0), sigma)[0] + 1e-3 * known.mean()
    total = cv2.GaussianBlur((row * known[:, None])[None], (0, 0), sigma)[0]
    return (total + 1e-3 * known.mean() * row[known].mean(axis=0)) / weight[:, None]


def fit_backdrop(portrait: np.ndarray) -> np.ndarray:
    """Fit a quadratic surface to the backdrop visible at the top and the sides, float32 (h, w, 3)."""
    height, width = portrait.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    known = np.zeros((height, width), bool)
    known[: height // 40] = True
    known[: int(0.62 * height), : width // 12] = True
    known[: int(0.62 * height), -width // 12 :] = True
    weights, *_ = np.linalg.lstsq(terms[known], portrait[known].astype(np.float32), rcond=None)
    return (terms @ weights).astype(np.float32)


def matte(portrait: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    """Compute the opacity of the person, float32 (h, w): GrabCut, started from the difference to the backdrop."""
    height, width = portrait.shape[:2]
    difference = np.abs(portrait - backdrop).max(axis=-1)
    labels = np.where(difference > 14, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[difference > 60] = cv2.GC_FGD
    labels[int(0.95 * height) :, width // 4 : 3 * width // 4] = cv2.GC_FGD
    labels[: height // 40] = cv2.GC_BGD
    labels[: int(0.6 * height), : width // 12] = cv2.GC_BGD
    labels[: int(0.6 * height), -width // 12 :] = cv2.GC_BGD
    cv2.grabCut(portrait, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    person = cv2.morphologyEx(person, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    _, parts, areas, _ = cv2.connectedComponentsWithStats(person)
    largest = (parts == 1 + int(areas[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    outlines, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(largest), outlines, -1, 1, cv2.FILLED)
    return cv2.GaussianBlur(filled.astype(np.float32), (0, 0), 1.2)


def head_extent(portrait: np.ndarray) -> tuple[float, float, float]:
    """Estimate y of the crown, y of the chin and x of the face from the detected box, in pixels."""
    found = public_detector().predict([portrait], DetectSettings(), embed=False)[0]
    x1, y1, x2, y2 = found.boxes[0]
    return float(y1 - 0.15 * (y2 - y1)), float(y2), float((x1 + x2) / 2)


if __name__ == "__main__":
    main()
