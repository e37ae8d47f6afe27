from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.api_client import ApiClient


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ApiClient]":
    """Return a client of the API of an empty gallery."""
    pytest.importorskip("prometheus_client", reason="the API needs onelook[api]")
    from helpers.api_client import ApiClient
    from onelook.service.admission import Limits

    client = ApiClient(tmp_path_factory.mktemp("api") / "gallery", Limits(max_upload=2**20, max_requests=6))
    yield client
    client.app.state.recognition.close()
