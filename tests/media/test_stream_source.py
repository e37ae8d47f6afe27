from pathlib import Path

import pytest

from onelook.errors import VideoError
from onelook.media.stream_source import StreamSource, parse_source


@pytest.mark.parametrize(
    ("text", "source", "shown"),
    [
        ("0", StreamSource(0), "camera 0"),
        ("./0", Path("0"), "0"),
        ("film.mp4", Path("film.mp4"), "film.mp4"),
        ("rtsp://me:pass@host:554/a?b=1", StreamSource("rtsp://me:pass@host:554/a?b=1"), "rtsp://host:554/a?b=1"),
        ("HTTP://[::1]/?PWD=x&c", StreamSource("HTTP://[::1]/?PWD=x&c"), "http://[::1]/?PWD=***&c"),
    ],
)
def test_sources_are_told_apart_and_shown_without_passwords(text: str, source: Path | StreamSource, shown: str) -> None:
    assert parse_source(text) == source
    assert str(parse_source(text)) == shown


@pytest.mark.parametrize("text", ["file:///etc/passwd", "ftp://host/film.mp4", "rtsp:///film"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(VideoError, match="not a stream"):
        parse_source(text)
