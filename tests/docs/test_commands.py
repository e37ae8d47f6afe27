"""The examples of docs/commands.md: every command is run, and every Python example is a doctest."""

import ast
import doctest
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import onelook
from helpers.command_line import Run, make_run
from onelook.data.image_io import read_image, write_image
from onelook.logs import stderr_console

_BLOCK = re.compile(r"^```(console|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BORDERS = re.compile("[\u2500-\u257f]+")
_NUMBERS = re.compile(r"(over |under )?\b([0-9a-f]{12}|-?\d+(\.\d+)?)\b")


@pytest.fixture(autouse=True)
def fresh_console() -> Iterator[None]:
    """Let the console of stderr take width and colors from the environment of this test alone."""
    stderr_console.cache_clear()
    yield
    stderr_console.cache_clear()


@pytest.fixture
def run(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Make the photos of the page in the working directory, and return a function that runs `onelook` on a terminal."""
    portraits = shared_data / "portraits"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")
    for name, portrait in (("ada1", "001_neutral"), ("ada2", "001_smiling"), ("grace", "042_neutral")):
        shutil.copy(portraits / f"{portrait}.jpg", f"{name}.jpg")
    people = [read_image(portraits / f"{number}_smiling.jpg") for number in ("001", "042", "003")]
    party = cv2.resize(np.concatenate(people, axis=1), (1200, 400), interpolation=cv2.INTER_AREA)
    write_image(Path("party.jpg"), party)
    Path("album").mkdir()
    for name in ("ada2.jpg", "grace.jpg", "party.jpg"):
        shutil.copy(name, "album")
    return make_run(monkeypatch, capsys)


def normalize(output: str) -> list[str]:
    """Return the lines of an output without colors, borders and numbers, sorted: these change with the model."""
    lines = [_NUMBERS.sub("#", _BORDERS.sub(" ", line)) for line in _ESCAPE.sub("", output).splitlines()]
    # On a terminal, the word is in color and without a colon.
    return sorted(" ".join(re.sub("^ERROR", "error:", line).split()) for line in lines if line.strip())


@pytest.mark.shared_data
def test_examples_of_the_page_give_the_shown_output(project: Path, run: Run) -> None:
    page = (project / "docs/commands.md").read_text(encoding="utf-8")
    blocks = _BLOCK.findall(page)
    assert {kind for kind, _ in blocks} == {"console", "pycon"}
    names: dict[str, object] = {}
    for kind, block in blocks:
        if kind == "pycon":
            check_python(block, names)
            continue
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = example.partition("\n")
            code, out, err = run(*shlex.split(command)[1:])
            assert normalize(out + (err if code else "")) == normalize(shown), command
            assert code == int(shown.startswith("error: ")), command


def test_every_public_name_occurs_in_a_python_example(project: Path) -> None:
    page = (project / "docs/commands.md").read_text(encoding="utf-8")
    parser = doctest.DocTestParser()
    examples = [each for kind, block in _BLOCK.findall(page) if kind == "pycon" for each in parser.get_examples(block)]
    used = {
        node.attr
        for example in examples
        for node in ast.walk(ast.parse(example.source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "onelook"
    }
    assert set(onelook.__all__) - used == set()


def check_python(block: str, names: dict[str, object]) -> None:
    test = doctest.DocTestParser().get_doctest(block, names, "docs/commands.md", None, None)
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append, clear_globs=False)
    names |= test.globs
    assert not report, "".join(report)
