"""Install the wheel into an empty environment, and measure its size and the seconds to the first answer.

    make wheel
    python benchmarks/install_size.py --data ../shared/data --wheel build/wheel

pip needs a package index. The first command is the first one after the installation: Python has compiled the packages,
and their files are in the memory of the operating system. Of each of the people in `portraits/`, the neutral photo is
enrolled and the smiling one identified: by the commands, and by curl through the HTTP API. MB are millions of bytes.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from machine_info import own_seconds
from portrait_questions import ask_api, ask_commands, person_of

REPEATS = 5
LARGE = 10e6
"""Bytes of a package that the table names."""


class Seconds(NamedTuple):
    """Seconds that a command took, and those of the processors."""

    elapsed: float
    processor: float

    def __str__(self) -> str:
        return f"{self.elapsed:.1f} s ({self.processor:.1f} s of the processors)"


class Environment:
    """A virtual environment, and a folder of photos with a folder per person."""

    def __init__(self, folder: Path, portraits: Path) -> None:
        self.folder, self.people, self.home = folder / "venv", folder / "people", folder
        subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True)
        (self.site,) = self.folder.glob("lib/python3*/site-packages")
        self.probes = sorted(portraits.glob("*_smiling.jpg"))
        for photo in sorted(portraits.glob("*_neutral.jpg")):
            (self.people / person_of(photo)).mkdir(parents=True)
            shutil.copy(photo, self.people / person_of(photo))

    def install(self, requirement: str) -> float:
        """Install a requirement with pip and return the seconds."""
        return self.run("python", "-m", "pip", "install", "--quiet", requirement)[0].elapsed

    def run(self, program: str, *arguments: str) -> tuple["Seconds", str]:
        """Run a program of the environment; return the seconds and the output."""
        began, used = time.perf_counter(), own_seconds()
        done = subprocess.run(self.command(program, *arguments), capture_output=True, text=True, **self.options())
        if done.returncode:
            sys.exit(f"{program} {' '.join(arguments)}: {done.stderr}")
        return Seconds(time.perf_counter() - began, own_seconds() - used), done.stdout

    def command(self, program: str, *arguments: str) -> list[str]:
        return [str(self.folder / "bin" / program), *arguments]

    def options(self) -> dict:
        """Return folder and variables of a process, without the packages of this one."""
        return {"cwd": self.home, "env": {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}}

    def bytes(self) -> int:
        """Return the size of all files of the environment, pip's among them."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if path.is_file() or path.is_symlink())

    def packages(self) -> dict[str, int]:
        """Return the bytes of each installed package."""
        sizes = {}
        for record in self.site.glob("*.dist-info/RECORD"):
            with record.open(newline="") as stream:
                files = [self.site / row[0] for row in csv.reader(stream)]
            sizes[record.parent.name.split("-")[0]] = sum(file.stat().st_size for file in files if file.is_file())
        return sizes

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[tuple[str, float]]:
        """Run `onelook serve`; yield its address, and the seconds from the start until it answers."""
        began = time.perf_counter()
        command = self.command("onelook", "serve", "--port", "0", *arguments)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **self.options()) as server:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().split()[1].rstrip("/")
                wait_for(f"{address}/health" if "--no-page" in arguments else address)
                yield address, time.perf_counter() - began
            finally:
                server.terminate()


def wait_for(address: str) -> None:
    """Wait until an address answers."""
    while True:
        try:
            urlopen(address, timeout=60).close()
            return
        except URLError:
            time.sleep(0.02)


def main() -> None:
    """Install, identify, and print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds portraits/")
    parser.add_argument("--wheel", type=Path, required=True, help="folder of the wheel")
    arguments = parser.parse_args()
    (wheel,) = arguments.wheel.resolve().glob("onelook-*.whl")
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder), arguments.data.resolve() / "portraits")
        empty = environment.bytes()
        rows = [describe(environment, "onelook", environment.install(str(wheel)))]
        answers = measure_answers(environment)
        rows.append(describe(environment, "onelook[page]", environment.install(f"{wheel}[page]")))
        with environment.serving() as (_, seconds):
            answers.append(("`onelook serve` until the page answers", f"{seconds:.1f} s"))
        rows.append(describe(environment, "onelook[page,api]", environment.install(f"{wheel}[page,api]")))
        answers.append(measure_api(environment))
    print("| installation | environment, MB | seconds of pip | largest packages, MB |\n|---|---|---|---|")
    print(f"| an empty environment, with pip | {empty / 1e6:.0f} | | |")
    print("\n".join(rows))
    print("\n| what | value |\n|---|---|")
    for what, value in answers:
        print(f"| {what} | {value} |")


def describe(environment: Environment, name: str, seconds: float) -> str:
    """Return the row of an installation."""
    sizes = sorted(environment.packages().items(), key=lambda item: -item[1])
    largest = ", ".join(f"{package} {size / 1e6:.0f}" for package, size in sizes if size >= LARGE and package != "pip")
    return f"| `{name}` | {environment.bytes() / 1e6:.0f} | {seconds:.0f} | {largest} |"


def measure_answers(environment: Environment) -> list[tuple[str, str]]:
    """Ask about the portraits; return the measured values by what they are."""
    first, *_ = sorted(environment.people.iterdir())
    enrolled = environment.run("onelook", "enroll", first.name, *map(str, first.iterdir()))[0]
    identified = [environment.run("onelook", "identify", str(environment.probes[0]))[0] for _ in range(REPEATS)]
    answers = ask_commands(
        lambda *arguments: environment.run("onelook", *arguments)[1], environment.people, environment.probes
    )
    seconds = environment.run("onelook", "identify", "--json", *map(str, environment.probes))[0]
    return [
        ("the first command, `onelook enroll` of one photo", str(enrolled)),
        ("`onelook identify` of one photo, first run", str(identified[0])),
        (f"the same, median of {REPEATS}", str(Seconds(*map(median, zip(*identified, strict=True))))),
        (f"`onelook identify` of {len(environment.probes)} photos", str(seconds)),
        *answers,
    ]


def measure_api(environment: Environment) -> tuple[str, str]:
    """Enroll and identify the portraits through the API, in a gallery of its own."""
    token = environment.home / "token"
    token.write_text("0123456789abcdef" * 2)
    token.chmod(0o600)
    arguments = ("--api", "--no-page", "--token-file", str(token), "--gallery", str(environment.home / "of_the_api"))
    with environment.serving(*arguments) as (address, _):
        return ask_api(address, token.read_text(), environment.people, environment.probes)


if __name__ == "__main__":
    main()
