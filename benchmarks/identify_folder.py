"""Time the identification of a folder.

`identify-all` against a loop of `gallery.identify`.

    python benchmarks/identify_folder.py --data ../shared/data

Photos of LFW's test people, 250x250, against a gallery of five people; the released weights. Each run is a process of
its own, so that its peak memory is its own. Runs take turns; a run's clock starts when gallery and weights are
loaded. Prints a Markdown table: medians of the rounds.
"""

import argparse
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from peer_process import run_in_process
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.gallery.gallery import Gallery, create_gallery, open_gallery
from onelook.media.discovery import find_media_files
from onelook.media.identify_all import identify_all

COUNTS = (200, 1000)
ROUNDS = 7


def main() -> None:
    """Run in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds lfw/")
    root = parser.parse_args().data / "lfw"
    lines = [line.split() for line in (root / "peopleDevTest.txt").read_text().splitlines()[1:]]
    photos = [
        root / "images" / name / f"{name}_{number:04d}.jpg"
        for name, count in lines
        for number in range(1, int(count) + 1)
    ]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "gallery"
        gallery = create_gallery(folder)
        for name in [name for name, count in lines if int(count) >= 5][:5]:
            gallery.enroll(name, [root / "images" / name / f"{name}_0001.jpg"])
        metrics: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for turn in track(range(ROUNDS), description="rounds", transient=True, console=Console(stderr=True)):
            for count in COUNTS:
                for how in ("identify-all", "loop"):
                    out = Path(place) / f"{how}-{count}-{turn}"
                    metrics.setdefault((how, count), []).append(measure(how, folder, photos[:count], out))
    print("| photos | identify-all, photos/s | one by one, photos/s | ratio | peak memory, MB | one by one, MB |")
    print("|---|---|---|---|---|---|")
    for count in COUNTS:
        (rate, most), (slow, other) = (
            [statistics.median(column) for column in zip(*metrics[how, count], strict=True)]
            for how in ("identify-all", "loop")
        )
        print(f"| {count:,} | {rate:.1f} | {slow:.1f} | {rate / slow:.2f} | {most:.0f} | {other:.0f} |")


def measure(how: str, gallery: Path, photos: list[Path], out: Path) -> tuple[float, float]:
    """Return photos per second and peak megabytes of a run in a process of its own."""
    rate, memory = run_in_process(how, work, how, gallery, photos, out)
    return rate, memory


def work(how: str, folder: Path, photos: list[Path], out: Path, connection: Connection) -> None:
    """Identify the photos and send photos per second and peak megabytes."""
    gallery = open_gallery(folder)
    gallery.identify(photos[0])  # the first look warms up
    start = time.perf_counter()
    if how == "identify-all":
        identify_all(gallery, find_media_files(photos, out), out)
    else:
        one_by_one(gallery, photos)
    spent = time.perf_counter() - start
    connection.send((len(photos) / spent, peak()))


def peak() -> float:
    """Return this process's peak memory in MB.

    VmHWM; rusage would include the parent's.
    """
    told = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return int(told.split()[0]) / 1024


def one_by_one(gallery: Gallery, photos: list[Path]) -> None:
    """Identify photos in a plain loop that stores nothing."""
    for photo in photos:
        gallery.identify(read_image(photo))


if __name__ == "__main__":
    main()
