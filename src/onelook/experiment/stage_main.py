"""Entry point of the stage scripts: logging, error messages and exit codes."""

import logging
import sys
from collections.abc import Callable

from onelook.errors import OnelookError
from onelook.interrupts import redeliver_interrupts
from onelook.logs import configure_logging
from onelook.process import configure_process

logger = logging.getLogger(__name__)


def stage_main(main: Callable[[], None]) -> None:
    """Run a stage; exit with 1 and a message on an OnelookError, with 130 on Ctrl-C."""
    configure_logging(verbosity=1)
    configure_process()
    try:
        with redeliver_interrupts():
            main()
    except OnelookError as error:
        logger.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logger.warning("interrupted; the same command goes on from the last complete step")
        sys.exit(130)
