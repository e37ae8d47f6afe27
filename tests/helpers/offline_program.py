"""Run every command, the page, the API and DVC in one process: `python offline_program.py FOLDER`.

The folder holds a model and photos as the fixture `workspace` of tests/cli makes them. Prints one JSON object: the
commands that ran with their exit codes.
"""

import io
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path

from onelook.service.listening import find_port

CODES: dict[str, int] = {}


def run(*arguments: str) -> str:
    """Run a command in this process, note its exit code, and return what it prints."""
    from onelook.cli import main

    sys.argv = ["onelook", *arguments]
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)) as printed:
        try:
            main()
        except SystemExit as stop:
            CODES[arguments[0]] = max(CODES.get(arguments[0], 0), int(stop.code or 0))
        printed.seek(0)
        return printed.read()


def run_commands() -> None:
    """Run all commands but `serve`."""
    model = ("--model", "build/model")
    run("enroll", "Anna", "s1.png", *model)
    Path("people/Bob").mkdir(parents=True)
    Path("people/Bob/s2.png").write_bytes(Path("s2.png").read_bytes())
    run("enroll-all", "people", *model)
    run("detect", "both.png", "--crops", "crops", *model)
    run("embed", "s1.png", *model)
    run("verify", "s1.png", "s2.png")
    run("find", "s1.png", "people")
    run("identify", "both.png", "--pictures", "pictures")
    run("identify-all", "s1.png", "film.mp4", "--out", "found")
    run("group", "found")
    run("watch", "film.mp4")
    run("gallery", "--check")
    run("upgrade")
    run("rename", "Anna", "Ada")
    run("merge", "Bob", "Ada")
    run("remove", "Ada", "s2.png")
    run("backup", "b.zip")
    run("restore", "b.zip", "--gallery", "restored", "--yes")
    run("export", "table")
    run("copy", "gallery", "copied")
    if find_spec("milvus_lite") is not None:
        run("copy", "gallery", "milvus:people.db")
    run("register")
    run("forget", "Ada")
    run("unregister", "1", "--yes")
    run("preset", "retinaface")
    run("complete-params")
    run("export-model", "m.onnx", *model)
    run("detect", "s1.png", "--model", "m.onnx")
    run("collect-faces", "nobody", "people", "--out", "sets", "--recognizer", "m.onnx", "--exclude", "nowhere")
    run("turn-faces", "nowhere", "--out", "turned")


def serve_and_stop() -> None:
    """Serve page and API until both have answered."""
    port = find_port("127.0.0.1", 0)

    def stop_when_answered() -> None:
        deadline = time.monotonic() + 120
        answers = {}
        while len(answers) < 2 and time.monotonic() < deadline:
            for path in ("/", "/health"):
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                    answers[path] = answer.status
            time.sleep(0.2)
        CODES["page and API"] = 0 if answers == {"/": 200, "/health": 200} else 1
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_when_answered, daemon=True).start()
    run("serve", "--api", "--port", str(port))
    CODES["serve"] = 0  # Ctrl-C ended it


def run_dvc(config: str) -> None:
    """Run a stage by DVC, with the configuration of the project."""
    from dvc.cli import main

    with redirect_stdout(io.StringIO()):
        CODES["dvc init"] = main(["init", "--no-scm", "--quiet"])
        Path(".dvc/config").write_text(config + "    no_scm = true\n")
        Path("dvc.yaml").write_text("stages: {one: {cmd: echo 1 > one.txt, outs: [one.txt]}}")
        CODES["dvc repro"] = main(["repro", "--quiet"])


if __name__ == "__main__":
    project = Path(__file__).resolve().parents[2]
    os.chdir(sys.argv[1])
    Path("params.yaml").write_text((project / "params.yaml").read_text())
    run_dvc((project / ".dvc/config").read_text())
    run_commands()
    serve_and_stop()
    print(json.dumps(CODES))
