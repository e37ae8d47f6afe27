"""Run the methods of a benchmark in processes of their own, which answer requests one after the other."""

import signal
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

from onelook.errors import OnelookError

JOIN_SECONDS = 10


class PeerProcess:
    """A spawned process with a connection to it.

    The parent closes its copy of the process's end. So a process that dies closes the connection, and waiting for its
    answer ends with an error.
    """

    def __init__(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        """Start `target(*arguments, connection)` as a daemon; `name` is named in errors."""
        self.name = name
        spawn = get_context("spawn")
        self._connection, other = spawn.Pipe()
        self._process = spawn.Process(target=target, args=(*arguments, other), daemon=True)
        self._process.start()
        other.close()

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            OnelookError: the process has ended.
        """
        try:
            self._connection.send(message)
        except OSError as error:
            raise OnelookError(self._describe_end()) from error

    def receive(self) -> Any:
        """Wait for the next message of the process.

        Raises:
            OnelookError: the process has ended.
        """
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise OnelookError(self._describe_end()) from error

    def request(self, message: Any) -> Any:
        """Send a message and wait for the answer.

        Raises:
            OnelookError: the process has ended.
        """
        self.send(message)
        return self.receive()

    def join(self) -> None:
        """Wait until the process has ended."""
        self._process.join()

    def _describe_end(self) -> str:
        self._process.join(JOIN_SECONDS)
        code = self._process.exitcode
        if code is None:
            return f"{self.name}: its process closed the connection without ending"
        reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{self.name}: its process ended ({reason}); its own messages are above"


def run_in_process(name: str, target: Callable[..., None], *arguments: Any) -> Any:
    """Return the message that `target(*arguments, connection)` sends from a process of its own.

    Raises:
        OnelookError: the process ends without a message.
    """
    process = PeerProcess(name, target, *arguments)
    message = process.receive()
    process.join()
    return message
