"""Load the API with 1, 8 and 32 clients, against calling the library.

    python benchmarks/api_load.py --data ../shared/data

`onelook serve --api --no-page` and the clients share the machine's cores. Each client sends its next photo of LFW's
test people to `/api/v1/identify` as soon as the last one is answered. The library identifies the same files one by one
with `gallery.identify`, in a process of its own, before and after each load. Prints a Markdown table.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import numpy as np
from peer_process import run_in_process

from onelook.gallery.gallery import create_gallery, open_gallery

CLIENTS = (1, 8, 32)
PHOTOS = 640
TOKEN = "token-of-the-load-test"


@dataclass(frozen=True)
class Load:
    """The seconds of a load, those of its requests, and the number of faces."""

    seconds: float
    latencies: list[float]
    faces: int


def main() -> None:
    """Run in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds lfw/")
    parser.add_argument("--photos", type=int, default=PHOTOS, help="photos of each load")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="numbers of clients")
    arguments = parser.parse_args()
    root = arguments.data / "lfw"
    people = [line.split() for line in (root / "peopleDevTest.txt").read_text().splitlines()[1:]]
    photos = [root / "images" / name / f"{name}_0001.jpg" for name, _ in people][: arguments.photos]
    print("| clients | requests/s | median, ms | p99, ms | faces/s | of the library's |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "gallery"
        gallery = create_gallery(folder)
        for name in [name for name, count in people if int(count) >= 5][:5]:
            gallery.enroll(name, [root / "images" / name / f"{name}_0001.jpg"])
        for clients in arguments.clients:
            before = library_rate(folder, photos)
            load = measure(folder, [photo.read_bytes() for photo in photos], clients)
            rate, library = load.faces / load.seconds, statistics.mean([before, library_rate(folder, photos)])
            median, p99 = 1e3 * np.percentile(load.latencies, [50, 99])
            requests = len(load.latencies) / load.seconds
            print(f"| {clients} | {requests:.1f} | {median:.0f} | {p99:.0f} | {rate:.1f} | {rate / library:.2f} |")


def library_rate(folder: Path, photos: list[Path]) -> float:
    """Return the faces per second of `gallery.identify`."""
    return float(run_in_process("library", identify_all, folder, photos))


def identify_all(folder: Path, photos: list[Path], connection: Connection) -> None:
    """Identify photos one by one, after a first one, and send the faces per second."""
    gallery = open_gallery(folder)
    gallery.identify(photos[0])
    began = time.perf_counter()
    faces = sum(len(gallery.identify(photo)) for photo in photos)
    connection.send(faces / (time.perf_counter() - began))


def measure(folder: Path, photos: list[bytes], clients: int) -> Load:
    """Start a server, and load it after a first request."""
    command = [sys.executable, "-m", "onelook", "serve", "--api", "--no-page", "--port", "0", "--gallery", str(folder)]
    environment = {**os.environ, "ONELOOK_TOKEN": TOKEN}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as server:
        try:
            assert server.stdout is not None
            return asyncio.run(send_all(server.stdout.readline().split()[1], photos, clients))
        finally:
            server.terminate()


async def send_all(address: str, photos: list[bytes], clients: int) -> Load:
    """Send photos by several clients; fail at the first answer that is not 200."""
    waiting, latencies, faces = iter(photos), [], 0

    async def send(client: httpx.AsyncClient, photo: bytes) -> None:
        nonlocal faces
        began = time.perf_counter()
        answer = await client.post("/api/v1/identify", files={"photo": ("photo.jpg", photo)})
        latencies.append(time.perf_counter() - began)
        faces += len(answer.raise_for_status().json()["faces"])

    async def run_client(client: httpx.AsyncClient) -> None:
        for photo in waiting:
            await send(client, photo)

    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=300) as client:
        await send(client, photos[0])
        latencies.clear()
        faces = 0
        began = time.perf_counter()
        await asyncio.gather(*(run_client(client) for _ in range(clients)))
        return Load(time.perf_counter() - began, latencies, faces)


if __name__ == "__main__":
    main()
