import logging

import pytest

from onelook.logs import configure_logging

LINES = {level: f"{level}: a\n{level}: b\n" for level in ("debug", "info", "warning", "error")}


@pytest.mark.parametrize(
    ("verbosity", "levels"),
    [
        (-1, ["error"]),
        (0, ["warning", "error"]),
        (1, ["info", "warning", "error"]),
        (2, ["debug", "info", "warning", "error"]),
        (5, ["debug", "info", "warning", "error"]),
    ],
)
def test_a_pipe_gets_a_plain_line_per_notice(
    verbosity: int, levels: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(0)
    configure_logging(verbosity)
    logger = logging.getLogger("onelook.anything")
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)("a\nb")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "".join(LINES[level] for level in levels))


def test_a_terminal_gets_richs_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    configure_logging()
    (handler,) = logging.getLogger("onelook").handlers
    assert type(handler).__name__ == "RichHandler"
    monkeypatch.delenv("FORCE_COLOR")
    configure_logging()
