"""Ask onelook the five questions about the portraits: by its commands, and by curl through its HTTP API.

Each of the people has a folder with a neutral portrait, and a smiling portrait that is the probe.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

RunCommand = Callable[..., str]
"""Runs onelook with arguments and returns what it prints."""


def person_of(photo: Path) -> str:
    """Return the number of a portrait's person."""
    return photo.name.partition("_")[0]


def ask_commands(run: RunCommand, people: Path, probes: list[Path]) -> list[tuple[str, str]]:
    """Return how many answers of each command are right, by question."""
    photos = list(map(str, probes))
    detected = json.loads(run("detect", "--json", *photos))
    embedded = json.loads(run("embed", "--json", *photos))
    neutral = [next((people / person_of(probe)).iterdir()) for probe in probes]
    verified = [
        json.loads(run("verify", "--json", str(one), str(other)))["answer"] == right
        for right, others in (("same person", neutral), ("different people", neutral[1:] + neutral[:1]))
        for one, other in zip(probes, others, strict=True)
    ]
    found = [
        [Path(each["photo"]).parent.name for each in json.loads(run("find", "--json", photo, str(people)))["found"]]
        for photo in photos
    ]
    hits = sum(person_of(probe) in names for probe, names in zip(probes, found, strict=True))
    run("enroll-all", str(people))
    identified = json.loads(run("identify", "--json", *photos))
    count = len(probes)
    return [
        ("`detect`: photos with one face", f"{sum(len(each['faces']) == 1 for each in detected)} of {count}"),
        ("`embed`: photos with one embedding", f"{sum(len(each['faces']) == 1 for each in embedded)} of {count}"),
        ("`verify`: pairs of one person and of two, decided right", f"{sum(verified)} of {len(verified)}"),
        ("`find`: people found; others found", f"{hits} of {count}; {sum(map(len, found)) - hits}"),
        ("`identify`: named right", f"{sum(map(is_right, identified))} of {count}"),
    ]


def ask_api(address: str, token: str, people: Path, probes: list[Path]) -> tuple[str, str]:
    """Enroll and identify by curl; return the row of the table."""
    api = f"{address}/api/v1"
    for folder in sorted(people.iterdir()):
        forms = [part for photo in folder.iterdir() for part in ("-F", f"photos=@{photo}")]
        curl(token, "-F", f"name={folder.name}", *forms, f"{api}/people")
    answers = [{"photo": str(probe), **curl(token, "-F", f"photo=@{probe}", f"{api}/identify")} for probe in probes]
    return "curl to the API: named right", f"{sum(map(is_right, answers))} of {len(answers)}"


def is_right(answer: dict) -> bool:
    """Return whether an answer names the one person of its photo."""
    return [face["name"] for face in answer["faces"]] == [person_of(Path(answer["photo"]))]


def curl(token: str, *arguments: str) -> dict:
    """Return the JSON of an answer; exit where curl or the server fails."""
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--fail-with-body",
        "-H",
        f"Authorization: Bearer {token}",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"curl {arguments[-1]}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)
