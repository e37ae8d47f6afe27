"""The writers of `gallery_kills.py`: nothing acknowledged is lost, and a change that is lost is found."""

import multiprocessing
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

from gallery_kills import METADATA
from gallery_writers import inspect, read_journal, run_writers

from onelook.gallery.backend_factory import open_backend

SPAWN = multiprocessing.get_context("spawn")


def check(root: Path) -> None:
    """Run in a process without threads, which forks."""
    found = run_writers(root, METADATA, processes=2, seconds=3)
    assert found.acknowledged["enroll"] and found.kills and not (found.lost or found.failures or found.kept)
    assert found.problems == []
    journals = [root / f"journal{number}" for number in range(2)]
    people = [sorted(read_journal(path).people) for path in journals]
    assert found.people == sum(map(len, people))
    backend = open_backend(root / "gallery")
    assert sorted(backend.people()) == sorted(["last", *(name for names in people for name in names)])
    changed = next(number for number, names in enumerate(people) if names)
    backend.rename(people[changed][0], "somebody else")
    assert inspect(root, journals, kills=0, failures=0).lost == 1


def test_a_lost_change_is_found_and_none_is_lost(tmp_path: Path) -> None:
    process = SPAWN.Process(target=check, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_journal_gives_the_people_after_acknowledged_changes(tmp_path: Path) -> None:
    lines = [
        '{"kind": "enroll", "name": "a", "photos": ["1", "2"]}\n{"outcome": "acknowledged"}\n',
        '{"kind": "rename", "name": "a", "new": "b"}\n{"outcome": "after"}\n',
        '{"kind": "enroll", "name": "c", "photos": ["3"]}\n{"outcome": "before"}\n',
        '{"kind": "forget", "name": "b"}\n',
        '{"outcome": "ackn',
    ]
    (tmp_path / "journal").write_text("".join(lines))
    journal = read_journal(tmp_path / "journal")
    assert journal.people == {"b": ["1", "2"]} and journal.pending == {"kind": "forget", "name": "b"}
    assert journal.acknowledged == {"enroll": 1} and journal.found == {"after": 1, "before": 1}
    assert journal.removed == [("a", [])] and journal.started == 4
