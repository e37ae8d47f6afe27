"""The frame every stage file runs in: what a user sees when a stage cannot go on."""

import sys
from collections.abc import Callable

from onelook.errors import OnelookError
from onelook.interrupts import redeliver_interrupts


def stage_main(main: Callable[[], None]) -> None:
    """Run a stage; an OnelookError ends it with its own lines on stderr and exit code 1, Ctrl-C with 130."""
    try:
        with redeliver_interrupts():
            main()
    except OnelookError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last complete step", file=sys.stderr)
        sys.exit(130)
