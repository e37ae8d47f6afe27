"""SIGKILL while everybody in a folder is identified: begun again, the run ends with the bytes of one never killed."""

import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.painted import HEIGHT, WIDTH, PaintedLooker, direction, paint
from onelook.data.image_io import write_image
from onelook.errors import OnelookError, VideoError
from onelook.gallery import storage
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import find_sources
from onelook.media.identify_all import identify_all
from onelook.media.video_drawing import draw_video
from onelook.media.video_io import VideoWriter
from onelook.settings import DetectSettings

SPAWN = multiprocessing.get_context("spawn")


def prepare(root: Path) -> Gallery:
    """A gallery with one of the people, nine photos (two passes) and a video."""
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=640)
    terms = GalleryMetadata(
        fingerprint="a" * 64, embedding_size=16, threshold=0.6, target_fpir=0.01, detect=detect, managed=False
    )
    contents = GalleryData(terms, (Entry(person="Anna", photo="a", sha256="0" * 64),), direction(1)[None])
    storage.create(root / "gallery", contents)
    for place in range(9):
        write_image(root / f"in/{place}.png", paint((1 + place % 4, 10, 10), (1 + (place + 1) % 4, 100, 10)))
    with VideoWriter(root / "in/film.mp4", 10, (HEIGHT, WIDTH, 3)) as writer:
        for t in range(10):
            writer.write(paint((1, 10 + 12 * t, 10), (3, 250 - 12 * t, 60)))
    return Gallery(FaissBackend(root / "gallery", contents), PaintedLooker())


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def in_a_child(work: Callable[[], object]) -> bool:
    """Do something in a forked child; False: it was killed.

    Nothing that may start threads is done outside: a fork of threads that wait for each other waits for ever.
    """
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status == 0 or os.WIFSIGNALED(status), "see the traceback above"
    return status == 0


def die_at(event: int, gallery: Gallery, root: Path, out: Path) -> None:
    """Run, and kill -9 this process before the given access to the file system."""
    left = event

    def count(name: str, _: object) -> None:
        nonlocal left
        if name == "open" or name.startswith("os."):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    identify_all(gallery, find_sources([root / "in"], out), out, pictures=True)


def kill_at_many_accesses(root: Path) -> None:
    """In a process of its own, which forks: killed at one access after another, and twice in one run.

    Then the disk is full.
    """
    gallery = Gallery(FaissBackend(root / "gallery", storage.read(root / "gallery")), PaintedLooker())

    def finish(out: Path) -> None:
        identify_all(gallery, find_sources([root / "in"], out), out, pictures=True)

    whole = root / "whole"
    assert in_a_child(lambda: finish(whole))
    expected = everything(whole)
    assert len([path for path in expected if path.startswith("pictures")]) == 10
    killed = partly = 0
    for event in range(8, 1000, 12):
        out = root / f"out{event}"
        ended = [in_a_child(lambda at=at, out=out: die_at(at, gallery, root, out)) for at in (event, 3 + event // 2)]
        if ended[0]:
            break
        killed += ended.count(False)
        partly += out.is_dir() and 0 < len(everything(out)) < len(expected)
        assert in_a_child(lambda out=out: finish(out)), event
        assert everything(out) == expected, event
    assert killed >= 6 and partly >= 4, (killed, partly)
    fill_the_disk(gallery, root, expected)


def fill_the_disk(gallery: Gallery, root: Path, expected: dict[str, bytes]) -> None:
    """Ever larger limits on the size of a file stand for a disk that fills up, and is given more room."""
    out = root / "full"
    film = max(len(data) for path, data in expected.items() if path.endswith(".mp4"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 200, film // 4, film // 2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            identify_all(gallery, find_sources([root / "in"], out), out, pictures=True)
        except OnelookError as error:
            assert "\n" not in str(error) and "again" in str(error), error
        else:
            raise AssertionError(f"nothing was said of {limit} bytes")
    resource.setrlimit(resource.RLIMIT_FSIZE, ((root / "in/film.mp4").stat().st_size // 2, hard))
    try:
        draw_video(root / "film.mp4", root / "in/film.mp4", [])
    except VideoError as error:
        assert "cannot be written whole" in str(error)
    else:
        raise AssertionError("nothing was said of half a video")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    identify_all(gallery, find_sources([root / "in"], out), out, pictures=True)
    assert everything(out) == expected


def test_killed_before_many_accesses_to_files(tmp_path: Path) -> None:
    prepare(tmp_path)
    process = SPAWN.Process(target=kill_at_many_accesses, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_interrupted_by_the_keyboard(tmp_path: Path) -> None:
    gallery = prepare(tmp_path)
    whole, out = tmp_path / "whole", tmp_path / "out"
    identify_all(gallery, find_sources([tmp_path / "in"], whole), whole, pictures=True)
    stops = np.random.default_rng(0).permutation(9)[:3].tolist()
    for stop in sorted(stops):
        left = stop

        def interrupt(_: object, error: str | None) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        try:
            identify_all(gallery, find_sources([tmp_path / "in"], out), out, pictures=True, told=interrupt)
        except KeyboardInterrupt:
            continue
        raise AssertionError("it was interrupted")
    identify_all(gallery, find_sources([tmp_path / "in"], out), out, pictures=True)
    assert everything(out) == everything(whole)
