import errno
import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.errors import OnelookError
from onelook.files import (
    atomic_file,
    atomic_folder,
    make_private_folder,
    read_json_lines,
    recover_folder,
    resolve_inside,
    sha256,
    shorten_stem,
    write_json,
)
from onelook.temporaries import find_temporaries


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_told_in_one_line_and_the_old_file_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: both fail inside write()."""
    (tmp_path / "a.txt").write_text("old")
    program = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom onelook.files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"path = Path({str(tmp_path / 'a.txt')!r})\n"
        "try:\n    write_text(path, 'x' * 100_000)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("WriteError") and "nothing was changed" in done.stdout
    assert (tmp_path / "a.txt").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_replaced_folder_holds_only_what_is_new(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    with atomic_folder(folder) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub/new.txt").write_text("new")
    assert [str(p.relative_to(folder)) for p in sorted(folder.rglob("*"))] == ["sub", "sub/new.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failed_replacement_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(folder) as temporary:
        (temporary / "half.txt").write_text("half")
        raise RuntimeError
    assert [p.name for p in folder.iterdir()] == ["old.txt"] and [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_killed_between_the_two_renames_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old/a.txt").write_text("old")
    (tmp_path / ".out.new-0123456789abcdef").mkdir()
    recover_folder(tmp_path / "out")
    assert (tmp_path / "out/a.txt").read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_killed_at_any_moment_the_folder_is_whole(tmp_path: Path, delay: float) -> None:
    folder = tmp_path / "out"
    program = (
        "from pathlib import Path\nfrom onelook.files import atomic_folder\n"
        f"folder = Path({str(folder)!r})\n"
        "for i in range(10_000):\n"
        "    with atomic_folder(folder) as temporary:\n"
        "        for part in 'abc':\n            (temporary / part).write_text(str(i))\n"
        "    if i == 3:\n        print('going', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline()
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    child.wait()
    recover_folder(folder)
    contents = {part: (folder / part).read_text() for part in "abc"}
    assert len(set(contents.values())) == 1 and sorted(p.name for p in folder.iterdir()) == ["a", "b", "c"]


def test_json_is_the_same_bytes_whatever_the_order_and_never_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "b.json", {"a": "é", "b": 1})
    assert sha256(tmp_path / "a.json") == sha256(tmp_path / "b.json")
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert "é" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/passwd", "a/../../x.jpg", "link/x.jpg"])
def test_a_path_out_of_a_label_file_never_leaves_the_root(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(OnelookError, match="leaves the data folder"):
        resolve_inside(root, path)
    assert resolve_inside(root, "a/b.jpg") == root / "a/b.jpg"


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for replace in (atomic_file, atomic_folder):
        with pytest.raises(OnelookError, match="cannot be written"), replace(tmp_path / "file" / "out"):
            pass


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert read_json_lines(path) == []
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert read_json_lines(path) == [{"a": 1}, {"a": 2}]
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'
    for line in ("[" * 10_000, "{", "3", '{"a": NaN}'):
        path.write_text(f'{{"a": 1}}\n{line}\n')
        with pytest.raises(OnelookError, match="line 2 is damaged") as caught:
            read_json_lines(path)
        assert "\n" not in str(caught.value)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=255))
def test_a_shortened_name_leaves_room_and_stays_different(stem: str) -> None:
    short, other = shorten_stem(stem), shorten_stem(stem[:-1] + ("b" if stem[-1] == "a" else "a"))
    assert len(short.encode()) <= 200 and short != other
    assert short == stem or len(stem.encode()) > 200


def test_a_file_with_the_longest_name_is_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "山" * 85):
        write_json(tmp_path / name, 1)
        assert (tmp_path / name).read_text() == "1\n"


@pytest.mark.parametrize("umask", [0, 0o077])
def test_permissions_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_json(tmp_path / "private.json", 1)
        write_json(tmp_path / "public.json", 1, private=False)
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "sub").mkdir()
            (temporary / "sub/a.txt").write_text("a")
        with atomic_folder(tmp_path / "model", private=False) as temporary:
            (temporary / "a.txt").write_text("a")
        make_private_folder(tmp_path / "results")
    finally:
        os.umask(before)
    modes = {str(p.relative_to(tmp_path)): p.stat().st_mode & 0o777 for p in tmp_path.rglob("*")}
    public = {"public.json": 0o666 & ~umask, "model": 0o777 & ~umask, "model/a.txt": 0o666 & ~umask}
    private = {"private.json": 0o600, "folder": 0o700, "folder/sub": 0o700, "folder/sub/a.txt": 0o600, "results": 0o700}
    assert modes == public | private


_KILLED = """
import os, sys
from pathlib import Path
from onelook.files import atomic_file, atomic_folder
write = atomic_file if sys.argv[1] == "file" else atomic_folder
with write(Path(sys.argv[2])) as temporary:
    (temporary if sys.argv[1] == "file" else temporary / "a").write_text("secret")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_write_sweeps_what_a_killed_one_left_and_nothing_else(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    subprocess.run([sys.executable, "-c", _KILLED, kind, str(target)], check=False)
    (left,) = find_temporaries(target)
    assert [p.name for p in tmp_path.iterdir()] == [left.name] and "secret" in (
        left if kind == "file" else left / "a"
    ).read_text()
    others = (".target.new-mine", ".target.conf", f".target2{left.name.removeprefix('.target')}")
    for name in others:
        (tmp_path / name).write_text("of somebody else")
    write = atomic_file if kind == "file" else atomic_folder
    with write(target) as live:
        assert not left.exists()
        with write(target) as second:  # another process would not take the first one's, which is locked, either
            assert live.exists() and second != live
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted((*others, "target"))


_CALLS = ("open", "fsync", "chmod", "mkdir", "rename", "replace", "unlink", "rmdir", "scandir")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_at_every_failing_call_the_target_is_old_or_new_and_the_message_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    target = tmp_path / "target"
    content = target if kind == "file" else target / "a"

    def write(text: str) -> None:
        with (atomic_file if kind == "file" else atomic_folder)(target) as temporary:
            (temporary if kind == "file" else temporary / "a").write_text(text)

    write("0")
    messages = []
    for number in itertools.count(1):
        remaining = itertools.count(1)

        def fail_once(call: Callable[..., Any], *args: Any, counter: Iterator[int] = remaining, **options: Any) -> Any:
            if next(counter) == number:  # noqa: B023
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*args, **options)

        old = content.read_text()
        with monkeypatch.context() as patch:
            for name in _CALLS:
                patch.setattr(os, name, functools.partial(fail_once, getattr(os, name)))
            try:
                write(str(number))
            except OnelookError as error:
                is_changed = "changed, but" in str(error)
                assert is_changed != ("nothing was changed" in str(error)), error
                messages.append(is_changed)
            else:
                is_changed = True
        recover_folder(target)
        assert content.read_text() == (str(number) if is_changed else old), number
        if next(remaining) <= number:  # the write had fewer calls
            break
    assert True in messages and False in messages and not find_temporaries(target)
    write("end")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
