"""The bearer token of the API: where it is read from, and the check of a request."""

import os
import secrets
from pathlib import Path

from onelook.errors import OnelookError

TOKEN_VARIABLE = "ONELOOK_TOKEN"
_MIN_LENGTH = 16
_ADVICE = "`openssl rand -hex 32` makes one"


def read_token(file: Path | None) -> str | None:
    """Read the token from a file, else from the environment variable ONELOOK_TOKEN; None: there is neither.

    Raises:
        OnelookError: the file cannot be read, or the token is too short or not printable ASCII without blanks.
    """
    if file is None:
        source, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE)
        if token is None:
            return None
    else:
        source = str(file)
        try:
            token = file.read_text(encoding="ascii")
        except OSError as error:
            raise OnelookError(f"{file}: the token cannot be read ({error.strerror}); {_ADVICE}") from error
        except UnicodeDecodeError as error:
            raise OnelookError(f"{file}: a token is one line of ASCII; {_ADVICE}") from error
    token = token.strip()
    if len(token) < _MIN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise OnelookError(f"{source}: a token has at least {_MIN_LENGTH} ASCII characters, no blanks; {_ADVICE}")
    return token


def is_token(presented: str, token: str) -> bool:
    """Compare a presented token with the right one in constant time."""
    return secrets.compare_digest(presented.encode(), token.encode())
