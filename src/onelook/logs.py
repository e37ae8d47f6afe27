"""Logging of the commands and the stages: notices on stderr, through `logging`."""

import logging
import sys
from functools import cache

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler

LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
"""Verbosity to log level."""


@cache
def stderr_console() -> Console:
    """Return the console of stderr, which log lines and progress bars share."""
    return Console(stderr=True)


class PlainHandler(logging.Handler):
    """Handler that writes `level: message` lines to the present stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        prefix = record.levelname.lower()
        for line in self.format(record).splitlines():
            print(f"{prefix}: {line}", file=sys.stderr)


def configure_logging(verbosity: int = 0) -> None:
    """Send the package's log records to stderr, replacing an earlier configuration.

    A terminal gets rich's handler; a file or a pipe gets plain lines such as `warning: ...`.

    Args:
        verbosity: -1: errors only; 0: warnings too; 1: info too; 2 or more: debug too.
    """
    console = stderr_console()
    handler: logging.Handler = PlainHandler()
    if console.is_terminal:
        handler = RichHandler(console=console, show_time=False, show_path=False, highlighter=NullHighlighter())
    logger = logging.getLogger("onelook")
    for old in list(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(LEVELS[max(-1, min(verbosity, 2))])
