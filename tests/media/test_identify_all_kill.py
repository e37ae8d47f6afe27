"""SIGKILL, a full disk and Ctrl-C during a run: the resumed run ends with the bytes of an uninterrupted one."""

import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.coded_faces import make_embedding
from helpers.painted import HEIGHT, WIDTH, PaintedPredictor, paint
from helpers.run_folder import read_all_files
from onelook.data.image_io import write_image
from onelook.errors import OnelookError, VideoError
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import find_media_files
from onelook.media.identify_all import identify_all
from onelook.media.video_drawing import draw_video
from onelook.media.video_io import VideoWriter
from onelook.settings import DetectSettings

SPAWN = multiprocessing.get_context("spawn")


def make_input(root: Path) -> Gallery:
    """Make a gallery with one of the people, nine photos (two batches) and a video."""
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=640)
    metadata = GalleryMetadata(
        fingerprint="a" * 64, embedding_size=16, threshold=0.6, target_fpir=0.01, detect=detect, managed=False
    )
    data = GalleryData(metadata, (EnrolledFace(person="Anna", photo="a", sha256="0" * 64),), make_embedding(1)[None])
    storage.create(root / "gallery", data)
    for i in range(9):
        write_image(root / f"in/{i}.png", paint((1 + i % 4, 10, 10), (1 + (i + 1) % 4, 100, 10)))
    with VideoWriter(root / "in/clip.mp4", 10, (HEIGHT, WIDTH, 3)) as writer:
        for t in range(10):
            writer.write(paint((1, 10 + 12 * t, 10), (3, 250 - 12 * t, 60)))
    return Gallery(FaissBackend(root / "gallery"), PaintedPredictor())


def run_in_fork(work: Callable[[], object]) -> bool:
    """Run a function in a forked child and return whether it ended without being killed.

    The parent must not start threads: a lock that a thread holds during a fork stays locked in the child.
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


def identify_until_killed(access: int, gallery: Gallery, root: Path, out: Path) -> None:
    """Run, and kill this process with SIGKILL before the given file system access."""
    remaining = access

    def count(name: str, _: object) -> None:
        nonlocal remaining
        if name == "open" or name.startswith("os."):
            remaining -= 1
            if remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    identify_all(gallery, find_media_files([root / "in"], out), out, pictures=True)


def kill_at_many_accesses(root: Path) -> None:
    """Kill runs at one file system access after another, each run twice, then fill the disk.

    Runs in a process of its own, since it forks.
    """
    gallery = Gallery(FaissBackend(root / "gallery"), PaintedPredictor())

    def finish(out: Path) -> None:
        identify_all(gallery, find_media_files([root / "in"], out), out, pictures=True)

    uninterrupted = root / "uninterrupted"
    assert run_in_fork(lambda: finish(uninterrupted))
    expected = read_all_files(uninterrupted)
    assert len([path for path in expected if path.startswith("pictures")]) == 10
    killed = partial = 0
    for access in range(8, 1000, 12):
        out = root / f"out{access}"
        ended = [
            run_in_fork(lambda at=at, out=out: identify_until_killed(at, gallery, root, out))
            for at in (access, 3 + access // 2)
        ]
        if ended[0]:
            break
        killed += ended.count(False)
        partial += out.is_dir() and 0 < len(read_all_files(out)) < len(expected)
        assert run_in_fork(lambda out=out: finish(out)), access
        assert read_all_files(out) == expected, access
    assert killed >= 6 and partial >= 4, (killed, partial)
    fill_the_disk(gallery, root, expected)


def fill_the_disk(gallery: Gallery, root: Path, expected: dict[str, bytes]) -> None:
    """Simulate a full disk by growing limits on the file size."""
    out = root / "full"
    video_bytes = max(len(data) for path, data in expected.items() if path.endswith(".mp4"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 200, video_bytes // 4, video_bytes // 2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            identify_all(gallery, find_media_files([root / "in"], out), out, pictures=True)
        except OnelookError as error:
            assert "\n" not in str(error) and "again" in str(error), error
        else:
            raise AssertionError(f"no error with a limit of {limit} bytes")
    resource.setrlimit(resource.RLIMIT_FSIZE, ((root / "in/clip.mp4").stat().st_size // 2, hard))
    try:
        draw_video(root / "clip.mp4", root / "in/clip.mp4", [])
    except VideoError as error:
        assert "cannot be written completely" in str(error)
    else:
        raise AssertionError("no error with half a video")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    identify_all(gallery, find_media_files([root / "in"], out), out, pictures=True)
    assert read_all_files(out) == expected


def test_killed_runs_resume_with_the_same_bytes(tmp_path: Path) -> None:
    make_input(tmp_path)
    process = SPAWN.Process(target=kill_at_many_accesses, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_interrupted_runs_resume_with_the_same_bytes(tmp_path: Path) -> None:
    gallery = make_input(tmp_path)
    uninterrupted, out = tmp_path / "uninterrupted", tmp_path / "out"
    identify_all(gallery, find_media_files([tmp_path / "in"], uninterrupted), uninterrupted, pictures=True)
    stops = np.random.default_rng(0).permutation(9)[:3].tolist()
    for stop in sorted(stops):
        remaining = stop

        def interrupt(_: object, error: str | None) -> None:
            nonlocal remaining
            remaining -= 1
            if remaining < 0:
                raise KeyboardInterrupt

        try:
            identify_all(gallery, find_media_files([tmp_path / "in"], out), out, pictures=True, on_file=interrupt)
        except KeyboardInterrupt:
            continue
        raise AssertionError("not interrupted")
    identify_all(gallery, find_media_files([tmp_path / "in"], out), out, pictures=True)
    assert read_all_files(out) == read_all_files(uninterrupted)
