"""The picture of tracks in docs/gallery.md: a video of moving portraits, named by `onelook identify-all`.

python docs/pictures/make_tracks.py          # writes docs/pictures/tracks.png

Two enrolled people pass each other; a stranger comes, is gone for ten frames, and comes back. The faces are the ORL
database's (AT&T Laboratories Cambridge).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from onelook.data.image_io import write_image
from onelook.data.readers.orl import read_orl
from onelook.drawing import tile_images
from onelook.gallery.gallery import create_gallery
from onelook.media.video_io import VideoReader, VideoWriter

HEIGHT, WIDTH, FRAMES, RATE = 400, 720, 150, 25.0
ENROLLED, STRANGER = ("orl-s1", "orl-s2"), "orl-s4"
HIDDEN = range(90, 100)
SHOWN = (40, 71, 84, 140)
OUT = Path(__file__).parent / "tracks.png"


def main() -> None:
    """Enroll two people, film, identify, and put frames side by side."""
    portraits: dict[str, list[np.ndarray]] = {}
    for each in read_orl().images:
        if each.identity in (*ENROLLED, STRANGER):
            portraits.setdefault(each.identity, []).append(
                np.kron(each.read(), np.ones((2, 2, 1), np.uint8))[16:-16, 8:-8]
            )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        gallery = create_gallery(folder / "gallery")
        for name in ENROLLED:
            photos = []
            for number, portrait in enumerate(portraits[name][:3]):
                photos.append(folder / f"{name}-{number}.png")
                write_image(photos[-1], on_ground(ground(), portrait, 100, 100))
            gallery.enroll(name, photos)
        with VideoWriter(folder / "film.mp4", RATE, (HEIGHT, WIDTH, 3)) as film:
            for number in range(FRAMES):
                film.write(frame(portraits, number))
        command = [sys.executable, "-c", "from onelook.cli import main; main()", "identify-all", "film.mp4"]
        subprocess.run([*command, "--out", "found", "--pictures", "--gallery", "gallery"], cwd=folder, check=True)
        (drawn,) = (folder / "found/pictures").rglob("*.mp4")
        with VideoReader(drawn) as named:
            shown = [each.image for each in named.frames() if each.number in SHOWN]
        write_image(OUT, tile_images(shown, columns=len(shown), width=1440))


def ground() -> np.ndarray:
    """A plain wall."""
    return np.full((HEIGHT, WIDTH, 3), 110, np.uint8)


def on_ground(image: np.ndarray, portrait: np.ndarray, left: int, top: int) -> np.ndarray:
    """The image with a portrait at a place."""
    image[top : top + portrait.shape[0], left : left + portrait.shape[1]] = portrait
    return image


def frame(portraits: dict[str, list[np.ndarray]], number: int) -> np.ndarray:
    """Two people who cross, each photo for half a second, and from the third second on a stranger below."""
    image, photo = ground(), 3 + number // 25
    far = min(450, max(0, 8 * (number - 45)))
    on_ground(image, portraits[ENROLLED[0]][photo], 500 - far, 60)
    on_ground(image, portraits[ENROLLED[1]][photo], 50 + far, 30)
    if number >= 60 and number not in HIDDEN:
        on_ground(image, portraits[STRANGER][photo], 270, 205)
    return image


if __name__ == "__main__":
    main()
