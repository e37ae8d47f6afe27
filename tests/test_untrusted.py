import io
import struct
import zipfile
from pathlib import Path

import pytest

from onelook.untrusted import (
    MAX_DEPTH,
    check_archive,
    iter_lines,
    one_line,
    parse_json,
    parse_json_object,
    parse_yaml,
    printable,
    read_json,
)

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))


def refusal(parse, data) -> str:
    with pytest.raises(ValueError) as caught:
        parse(data)
    message = str(caught.value)
    assert message and "\n" not in message and len(message) < 300
    return message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 100_000, "lists and mappings inside one another"),
        (b'{"a":' * 100_000, "lists and mappings inside one another"),
        (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "lists and mappings inside one another"),
        (b"[1, 1e999]", "not finite"),
        (b"[-Infinity]", "not finite"),
        (b"[NaN]", "not finite"),
        (b"9" * 6000, "4300 digits"),
        (b'["\\ud800"]', "half a surrogate pair"),
        (b'{"\\u0000": 1}', "null character"),
        (b"\xff", "utf-8"),
        (b"", "Expecting value"),
    ],
)
def test_odd_json_is_refused_in_one_line(data: bytes, message: str) -> None:
    assert message in refusal(parse_json, data)


def test_usual_json_is_read_as_by_the_standard_library() -> None:
    data = b'{"a": [1, -2.5e3, null, true, "\\ud83d\\ude00", "\\u00e9"], "b": {"c": []}}'
    assert parse_json(data) == {"a": [1, -2500.0, None, True, "\U0001f600", "é"], "b": {"c": []}}
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert refusal(parse_json_object, b"[]") == "not a JSON object"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "line 2: an alias"),
        ("base: &a [*a]", "an alias"),
        ("[" * 20_000, "lists and mappings inside one another"),
        ("\n".join(" " * i + "a:" for i in range(900)), "lists and mappings inside one another"),
        ("base: 2001-13-45", "month"),
        ("base: !!timestamp x", ""),
        ("base: !!int ''", ""),
        ("train: {rate: .inf}", "train.rate: inf: a number that is not finite"),
        ("1: 2", "a key that is no text"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ('a: "\\ud800"', "half a surrogate pair"),
        ("a: {b: [1}", "expected"),
    ],
)
def test_odd_yaml_is_refused_in_one_line(text: str, message: str) -> None:
    assert message in refusal(parse_yaml, text)


def test_size_is_checked_before_the_content(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_bytes(b" " * 100 + b"1")
    assert "larger than" in refusal(lambda limit: read_json(path, limit), 100)
    assert read_json(path, 101) == 1
    path.write_bytes(b"ab\ncd")
    with path.open("rb") as stream:
        assert list(iter_lines(stream, 3)) == [b"ab\n", b"cd"]
    with path.open("rb") as stream:
        assert "a line is longer" in refusal(lambda limit: list(iter_lines(stream, limit)), 2)


def test_text_of_a_file_is_shown_in_one_line_of_ascii() -> None:
    assert printable("é\n\0") == "\\xe9\\n\\x00"
    assert printable("x" * 100) == "x" * 60 + "..."


def test_a_message_of_a_library_is_shown_in_one_line_without_commands_of_a_terminal() -> None:
    assert one_line(ValueError("é\n  quoted \x1b[2J\udcff\u2028end")) == "é quoted \\x1b[2J\\udcff end"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("\0" * 300)) == "\\x00" * 50


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused() -> None:
    stored, packed = io.BytesIO(), io.BytesIO()
    for stream, method in ((stored, zipfile.ZIP_STORED), (packed, zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(stream, "w", method) as archive:
            archive.writestr("zeros", bytes(10_000))
    check_archive(stored)
    assert "unpacks to 10000" in refusal(check_archive, packed)
    directory = stored.getvalue().index(b"PK\1\2")
    entry = stored.getvalue()[directory : directory + 46 + len("zeros")]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5, 5, 5 * len(entry), directory, 0)
    overlapping = io.BytesIO(stored.getvalue()[:directory] + 5 * entry + end)  # five entries of the same bytes
    assert "unpacks to 50000" in refusal(check_archive, overlapping)
    for damaged in (b"", b"PK\3\4", stored.getvalue()[:-5], b"PK\3\4" + end):
        refusal(check_archive, io.BytesIO(damaged))
