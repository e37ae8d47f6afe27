"""Five people enrolled with one photo each: how many of their other photos, and of strangers', are answered right?

    python benchmarks/five_people.py --data ../shared/data --model build/model

The command `onelook` does it all, as a user would: `enroll` five LFW people with their first photo, `identify` their
other photos (at most ten each) and as many photos of strangers. The person of a photo is the face nearest its middle.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PEOPLE = ("Colin_Powell", "Serena_Williams", "Junichiro_Koizumi", "Jennifer_Capriati", "Luiz_Inacio_Lula_da_Silva")
PHOTOS = 10


def main() -> None:
    """Enrol, identify, count, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, required=True, help="folder that train wrote")
    arguments = parser.parse_args()
    images = arguments.data / "lfw/images"
    with tempfile.TemporaryDirectory() as folder:
        options = ["--gallery", f"{folder}/gallery", "--model", str(arguments.model)]
        for name in PEOPLE:
            onelook("enroll", name, str(images / name / f"{name}_0001.jpg"), *options)
        own = [path for name in PEOPLE for path in sorted((images / name).glob("*.jpg"))[1 : PHOTOS + 1]]
        others = [path for path in sorted(images.glob("*/*_0001.jpg")) if path.parent.name not in PEOPLE]
        strangers = others[:: len(others) // len(own)][: len(own)]
        answers = json.loads(onelook("identify", "--json", *options, *map(str, own + strangers)))
    people = dict(zip([str(path) for path in own + strangers], map(in_the_middle, answers), strict=True))
    named = [people[str(path)] for path in own]
    print("| photos | named right | nearest right, whatever the threshold | named wrong | unknown | no face |")
    print("|---|---|---|---|---|---|")
    print(f"| {len(own)} other photos of the five | {tally(named, [path.parent.name for path in own])} |")
    rejected = [people[str(path)] for path in strangers]
    print(f"| {len(strangers)} strangers | {tally(rejected, [None] * len(strangers))} |")


def onelook(*arguments: str) -> str:
    """Run the command; a photo without a face (exit code 1) still has its answer."""
    command = [sys.executable, "-c", "from onelook.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(done.stderr)
    return done.stdout


def in_the_middle(answer: dict) -> dict | None:
    """The face nearest the middle of a 250-pixel LFW photo, or None."""
    faces = answer["faces"]
    middles = [np.array(face["box"]).reshape(2, 2).mean(axis=0) for face in faces]
    return min(
        zip([np.linalg.norm(m - 125) for m in middles], faces, strict=True), key=lambda p: p[0], default=(0, None)
    )[1]


def tally(faces: list[dict | None], truth: list[str | None]) -> str:
    """Cells: right, nearest right, wrong, unknown, no face. For a stranger "unknown" is right."""
    found = [(face, name) for face, name in zip(faces, truth, strict=True) if face is not None]
    right = sum(face["name"] == name for face, name in found)
    nearest = sum(face["nearest"] == name for face, name in found if name is not None)
    wrong = sum(face["name"] not in (name, None) for face, name in found)
    unknown = sum(face["name"] is None for face, _ in found)
    shown = "–" if truth[0] is None else str(nearest)
    return f"{right} | {shown} | {wrong} | {unknown} | {len(faces) - len(found)}"


if __name__ == "__main__":
    main()
