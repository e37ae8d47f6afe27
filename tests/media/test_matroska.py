from pathlib import Path

import pytest

from onelook.media.matroska import expected_length, is_matroska

HEADER = bytes.fromhex("1a45dfa3") + b"\x84" + b"abcd"
SEGMENT = bytes.fromhex("18538067")


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (HEADER + SEGMENT + b"\x8a" + bytes(10), 9 + 4 + 1 + 10),
        (HEADER + SEGMENT + b"\x01" + (300).to_bytes(7, "big"), 9 + 4 + 8 + 300),  # of which nothing is there
        (HEADER + SEGMENT + b"\x40\x05" + bytes(5), 9 + 4 + 2 + 5),
        (HEADER + SEGMENT + b"\x01" + b"\xff" * 7, None),  # a live recording
        (HEADER + SEGMENT + b"\xff", None),
        (HEADER + b"\xec\x80", None),  # another element
        (HEADER + SEGMENT, None),
        (HEADER[:6], None),
        (HEADER + SEGMENT + b"\x00" + bytes(20), None),
        (b"", None),
        (b"\0\0\0\x18ftypisom", None),
    ],
)
def test_the_length_is_that_of_header_and_segment(tmp_path: Path, data: bytes, length: int | None) -> None:
    (tmp_path / "a.mkv").write_bytes(data)
    assert expected_length(tmp_path / "a.mkv") == length
    assert is_matroska(tmp_path / "a.mkv") == data.startswith(HEADER[:4])
