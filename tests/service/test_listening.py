import socket

import pytest

from onelook.errors import OnelookError
from onelook.service.listening import find_port


def test_find_port_refuses_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(OnelookError, match=f"^127.0.0.1:{taken}: cannot be listened to .*--port"):
            find_port("127.0.0.1", taken)
    assert find_port("127.0.0.1", taken) == taken
    assert find_port("127.0.0.1", 0) > 1023
