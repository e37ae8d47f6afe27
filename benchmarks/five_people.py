"""Identify through the command line with five enrolled people.

Count right and wrong answers.

    python benchmarks/five_people.py --data ../shared/data [--model build/model]

The command `onelook` does everything, as a user would. `enroll` takes the first photo with one face of five LFW people.
`identify` gets their other photos (at most ten each) and as many photos of people who are not enrolled. The person of a
photo is the face nearest its center. All are of `peopleDevTest.txt`: none was trained on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from onelook.data.readers.lfw import read_lfw
from onelook.model.model_folder import RELEASED
from onelook.settings import LfwSettings

PEOPLE = ("Alvaro_Uribe", "Jacques_Chirac", "Jennifer_Capriati", "Kofi_Annan", "Winona_Ryder")
PHOTOS = 10


def main() -> None:
    """Enroll, identify, count and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    arguments = parser.parse_args()
    images = arguments.data / "lfw/images"
    with tempfile.TemporaryDirectory() as folder:
        options = ["--gallery", f"{folder}/gallery", "--model", str(arguments.model)]
        enrolled = [enroll_first(name, sorted((images / name).glob("*.jpg")), options) for name in PEOPLE]
        own = []
        for name in PEOPLE:
            own += [path for path in sorted((images / name).glob("*.jpg")) if path not in enrolled][:PHOTOS]
        official = read_lfw(LfwSettings(path=str(arguments.data / "lfw"))).official_splits or {}
        unseen = {name for name, split in official.items() if split == "test"} - set(PEOPLE)
        others = [path for path in sorted(images.glob("*/*_0001.jpg")) if path.parent.name in unseen]
        non_mated = others[:: len(others) // len(own)][: len(own)]
        done = onelook("identify", "--json", *options, *map(str, own + non_mated))
        # A photo without a face makes the exit code 1 and still has its answer.
        answers = json.loads(done.stdout) if done.stdout else sys.exit(done.stderr)
    people = dict(zip([str(path) for path in own + non_mated], map(center_face, answers), strict=True))
    named = [people[str(path)] for path in own]
    print("| photos | named right | nearest right, whatever the threshold | named wrong | unknown | no face |")
    print("|---|---|---|---|---|---|")
    print(f"| {len(own)} other photos of the five | {tally(named, [path.parent.name for path in own])} |")
    rejected = [people[str(path)] for path in non_mated]
    print(f"| {len(non_mated)} photos of people who are not enrolled | {tally(rejected, [None] * len(non_mated))} |")


def enroll_first(name: str, photos: list[Path], options: list[str]) -> Path:
    """Enroll a person with the first photo that the command accepts."""
    for photo in photos:
        done = onelook("enroll", name, str(photo), *options)
        if done.returncode == 0:
            return photo
        print(done.stderr.strip(), file=sys.stderr)
    sys.exit(f"{name}: no photo could be enrolled")


def onelook(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-c", "from onelook.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def center_face(answer: dict) -> dict | None:
    """Return the face nearest the center of a 250-pixel LFW photo, or None."""
    faces = answer["faces"]
    middles = [np.array(face["box"]).reshape(2, 2).mean(axis=0) for face in faces]
    return min(
        zip([np.linalg.norm(m - 125) for m in middles], faces, strict=True), key=lambda p: p[0], default=(0, None)
    )[1]


def tally(faces: list[dict | None], truth: list[str | None]) -> str:
    """Return the cells right, nearest right, wrong, unknown, no face.

    For a non-enrolled person unknown is right.
    """
    found = [(face, name) for face, name in zip(faces, truth, strict=True) if face is not None]
    right = sum(face["name"] == name for face, name in found)
    nearest = sum(face["nearest"] == name for face, name in found if name is not None)
    wrong = sum(face["name"] not in (name, None) for face, name in found)
    unknown = sum(face["name"] is None for face, _ in found)
    shown = "–" if truth[0] is None else str(nearest)
    return f"{right} | {shown} | {wrong} | {unknown} | {len(faces) - len(found)}"


if __name__ == "__main__":
    main()
