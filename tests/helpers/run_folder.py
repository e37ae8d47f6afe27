"""Readers for the output folder of `onelook identify-all`."""

import csv
import json
from pathlib import Path


def read_journal(out: Path) -> list[dict]:
    """Read all records of the journal."""
    return [json.loads(line) for line in (out / "faces.jsonl").read_text("ascii").splitlines()]


def read_table(out: Path) -> list[dict[str, str]]:
    """Read the rows of the results table."""
    with (out / "faces.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_all_files(folder: Path) -> dict[str, bytes]:
    """Read every file but the lock, by path relative to the folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
