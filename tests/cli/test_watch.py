"""The command `watch` in a process of its own, with a camera of a local HTTP server."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from helpers.command_line import Run, orl_image
from helpers.stream_server import serve_camera
from onelook.data.image_io import write_image


def test_ctrl_c_ends_an_endless_stream_and_prints_the_open_track(run_released: Run) -> None:
    write_image(Path("ada.png"), orl_image(2, 10))
    assert run_released("enroll", "Ada", "ada.png")[0] == 0
    with serve_camera([orl_image(2, 1)], repeats=True) as server:
        command = [sys.executable, "-m", "onelook", "watch", server.url, "--appearances"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
            assert watch.stdout is not None
            appearance = json.loads(watch.stdout.readline())
            watch.send_signal(signal.SIGINT)
            out, err = watch.communicate(timeout=60)
    (track,) = map(json.loads, out.splitlines())
    assert (watch.returncode, appearance["name"], track["name"]) == (0, "Ada", "Ada")
    assert (appearance["what"], track["what"], track["source"]) == ("appearance", "track", server.url)
    assert track["last"]["time"] >= appearance["last"]["time"]
    assert not err or "dropped, because identification is slower than the stream" in err


def test_an_unknown_source_is_an_error_before_the_gallery_is_opened(run_released: Run) -> None:
    code, out, err = run_released("watch", "ftp://host/film.mp4")
    assert (code, out) == (1, "")
    assert err.startswith("error: ftp://host/film.mp4: not a stream; name a camera number, an rtsp:// or")
