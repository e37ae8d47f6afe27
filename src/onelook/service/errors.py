"""The error of a request."""

from collections.abc import Mapping


class ApiError(Exception):
    """An answer with an error status; its body is `{"error": message}`.

    Attributes:
        status: HTTP status, 400 to 599.
        message: one sentence: what is wrong, and what to do.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Take status, message and headers."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
