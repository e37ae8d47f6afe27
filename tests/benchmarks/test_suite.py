"""Benchmark suite: small commands in a folder of their own, and the document with their tables."""

import io
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from onelook.errors import OnelookError

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

from machine_info import busy_seconds, own_seconds
from readme_tables import read_blocks, with_content, with_table
from suite import Suite

REAL = Path(__file__).parents[2] / "benchmarks"
# Ends of lines, spaces and a missing last line break are somebody's, too.
DOCUMENT = """\
# Figures\t
<!-- machines -->
<!-- end -->
Windows' line ends\r
and two spaces  \n\n
<!-- bench: first.py -->
old 1
<!-- end -->

  between é

<!-- bench: second.py --size 3 -->

old 2

<!-- end -->
last line"""
TABLE = "print('| a | b |')\nprint('|---|---|')\nprint('| 1 | x |')\n"
MACHINE = {"processor": "P, 2 cores", "torch": "2.0"}


def write(root: Path, document: str = DOCUMENT, **programs: str) -> Path:
    """Write a folder of commands with its document; those not given print a table."""
    folder = root / "benchmarks"
    folder.mkdir()
    (folder / "README.md").write_bytes(document.encode())
    for name, program in {"first": TABLE, "second": TABLE, **programs}.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(program))
    return folder


def make(folder: Path, *names: str) -> tuple[int, str, str]:
    """Run the suite; return the number of failures, the document afterwards, and the output."""
    output = io.StringIO()
    suite = Suite(folder, folder.parent / "data", Console(file=output))
    failed = suite.make(suite.chosen(names))
    return failed, (folder / "README.md").read_bytes().decode(), output.getvalue()


def run(folder: Path) -> tuple[int, str, str]:
    """Run the command; return its exit code, the document afterwards, and the output."""
    for name in ("suite.py", "readme_tables.py", "machine_info.py"):
        shutil.copy(REAL / name, folder)
    command = [sys.executable, str(folder / "suite.py"), "--data", str(folder.parent / "data")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.stdout == ""
    return done.returncode, (folder / "README.md").read_bytes().decode(), done.stderr


def outside(document: str) -> str:
    """Return the markers and all text outside them."""
    return re.sub(r"(<!-- (?:bench|machines)[^\n]*-->\n).*?(<!-- end -->)", r"\1\2", document, flags=re.DOTALL)


def inside(document: str, command: str) -> str:
    """Return the text between the markers of a command."""
    return document.split(f"<!-- bench: {command} -->\n")[1].split("<!-- end -->")[0]


def test_a_table_is_its_commands_output_and_all_else_stays_byte_for_byte(tmp_path: Path) -> None:
    program = (
        "import os, sys\nprint('| size |')\nprint('|---|')\nprint('|', sys.argv[2], os.environ['OMP_NUM_THREADS'])\n"
    )
    failed, document, _ = make(write(tmp_path, second=program + "print('noise', file=sys.stderr)\n"))
    assert failed == 0 and outside(document) == outside(DOCUMENT)
    under = r"\n\n\*machine A, \d+ s[^,]*, \d{4}-\d\d-\d\d, no commit\*\n\n"
    assert re.fullmatch(r"\n\| a \| b \|\n\|---\|---\|\n\| 1 \| x \|" + under, inside(document, "first.py"))
    assert re.fullmatch(r"\n\| size \|\n\|---\|\n\| 3 2" + under, inside(document, "second.py --size 3"))


def test_failures_keep_their_tables_and_the_other_tables_are_made(tmp_path: Path) -> None:
    document = DOCUMENT
    wrong = {
        "broken": ("raise ValueError('no such photo')", "exit code 1, ValueError: no such photo"),
        "silent": ("print('a line')", "it printed no table"),
        "killed": ("import os\nos.kill(os.getpid(), 9)", "killed by SIGKILL"),
        "closing": (TABLE + "print('<!-- end -->')", "closes nothing"),
    }
    for name in wrong:
        document = f"<!-- bench: {name}.py -->\nold\n<!-- end -->\n{document}"
    programs = {name: program for name, (program, _) in wrong.items()}
    code, after, output = run(write(tmp_path, document, **programs))
    assert code == 1 and outside(after) == outside(document)
    assert "| 1 | x |" in inside(after, "first.py") and "| 1 | x |" in inside(after, "second.py --size 3")
    for name, (_, why) in wrong.items():
        assert inside(after, f"{name}.py") == "old\n"
        (line,) = [line for line in output.splitlines() if line.startswith(f"{name}.py: FAILED")]
        assert why in line


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_an_interrupt_keeps_finished_tables(tmp_path: Path, stop: str) -> None:
    interrupting = f"import os, signal, time\nos.kill(os.getppid(), signal.{stop})\ntime.sleep(60)\n"
    code, document, output = run(write(tmp_path, second=interrupting))
    assert code == 130 and "interrupted after 1 of 2 tables" in output
    assert "| 1 | x |" in inside(document, "first.py") and outside(document) == outside(DOCUMENT)
    assert inside(document, "second.py --size 3") == inside(DOCUMENT, "second.py --size 3")


def test_concurrent_edits_of_the_document_are_kept(tmp_path: Path) -> None:
    writing = """
        from pathlib import Path
        document = Path("benchmarks/README.md")
        document.write_bytes(document.read_bytes() + b" and more")
    """
    _, document, _ = make(write(tmp_path, first=textwrap.dedent(writing) + TABLE), "first")
    assert outside(document) == outside(DOCUMENT) + " and more" and "| 1 | x |" in inside(document, "first.py")


def test_tables_without_data_are_skipped(tmp_path: Path) -> None:
    commands = ("data.py --data DATA", "made.py --model build/model")
    document = "".join(f"<!-- bench: {command} -->\nold\n<!-- end -->\n" for command in commands) + DOCUMENT
    program = "import sys\nprint('|', *sys.argv[1:], '|')\n"
    folder = write(tmp_path, document, data=program, made=program)
    failed, after, output = make(folder, "data", "made.py")
    assert failed == 0 and after == document
    assert f"data.py --data DATA: left out, as {tmp_path / 'data'} is not there" in output
    assert "made.py --model build/model: left out, as build/model is not there" in output
    (tmp_path / "data").mkdir()
    (tmp_path / "build/model").mkdir(parents=True)
    _, after, _ = make(folder, "data", "made")
    assert f"| --data {tmp_path / 'data'} |" in inside(after, commands[0])
    assert "| --model build/model |" in inside(after, commands[1])
    assert inside(after, "first.py") == "old 1\n"


def test_an_unknown_table_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(OnelookError, match="third: no such table; there are first, second"):
        make(write(tmp_path), "third")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("<!-- benchmark: first.py -->\n<!-- end -->", "line 4: <!-- benchmark: first.py --> is no marker"),
        ("<!-- bench: first.py\n<!-- end -->", "line 4: <!-- bench: first.py is no marker"),
        ("<!-- bench: -->\n<!-- end -->", "line 4: <!-- bench: --> is no marker"),
        ("<!-- bench: first.py -->", "line 4: no <!-- end --> follows"),
        ("text\n<!-- end -->", "line 5: <!-- end --> closes nothing"),
        ("<!-- bench: first.py -->\n<!-- bench: second.py -->", "line 5: .* before the <!-- end --> of line 4"),
        ("<!-- bench: third.py -->\n<!-- end -->", "line 4: third.py is no file of benchmarks/"),
        ("<!-- bench: first.py -->\n<!-- end -->\n" * 2, "line 4: first.py has a table already"),
        ("<!-- machines -->\n<!-- end -->", "there are 2 tables of machines"),
    ],
)
def test_wrong_markers_are_errors_with_their_line(tmp_path: Path, document: str, message: str) -> None:
    folder = write(tmp_path)
    with pytest.raises(OnelookError, match=message):
        read_blocks(f"<!-- machines -->\n<!-- end -->\n\n{document}", folder)


def test_each_table_names_its_machine_and_unused_machines_are_removed(tmp_path: Path) -> None:
    folder, other = write(tmp_path), MACHINE | {"torch": "3.0"}
    text = DOCUMENT
    for command, machine in (("first.py", MACHINE), ("second.py --size 3", other), ("first.py", MACHINE)):
        text = with_table(text, command, "| t |", machine, "1 s", folder)
    rows = "| machine | processor | torch |\n|---|---|---|\n| A | P, 2 cores | 2.0 |\n| B | P, 2 cores | 3.0 |\n"
    assert rows in text
    assert "*machine A, 1 s*" in inside(text, "first.py") and "*machine B, 1 s*" in inside(text, "second.py --size 3")
    text = with_table(text, "first.py", "| t |", other, "2 s", folder)
    assert rows.replace("| A | P, 2 cores | 2.0 |\n", "") in text and "*machine B, 2 s*" in inside(text, "first.py")


def test_own_processor_time_is_separated_from_other_processes() -> None:
    burning = "import time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\ninput()"
    busy, own = busy_seconds(), own_seconds()
    with subprocess.Popen([sys.executable, "-c", burning], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        running = own_seconds() - own
        assert busy_seconds() - busy > 0.35 > running  # it has not ended: it may be anybody's
        other.communicate(b"\n")
    assert own_seconds() - own > 0.4


LINES = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]))


@given(LINES, LINES, LINES.filter(str.strip))
def test_only_text_between_markers_changes(before: str, after: str, content: str) -> None:
    begin, end = f"{before}\n<!-- machines -->\n", f"<!-- end -->\n{after}"
    found = with_content(f"{begin}old\n{end}", "", content, REAL)
    assert found == f"{begin}\n{content.strip(chr(10))}\n\n{end}"


def test_the_readmes_markers_are_valid() -> None:
    blocks = read_blocks((REAL / "README.md").read_bytes().decode(), REAL)
    assert len(blocks) > 15
