"""The API of a gallery with the released weights, called in the test's process."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from onelook.service.admission import Limits
from onelook.service.app import create_api
from onelook.service.shared_gallery import SharedGallery

TOKEN = "t0ken-of-these-tests"


class ApiClient:
    """A client with the token; `log` holds the lines of the API's log."""

    def __init__(self, folder: Path, limits: Limits, token: str | None = TOKEN) -> None:
        self.log: list[dict[str, Any]] = []
        self.folder = folder
        self.app = create_api(
            SharedGallery(folder),
            token=token,
            host="127.0.0.1",
            limits=limits,
            log=lambda line: self.log.append(json.loads(line)),
        )

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.request_at_once(method, path, [options])[0]

    def request_at_once(self, method: str, path: str, requests: list[dict[str, Any]]) -> list[httpx.Response]:
        """Send requests at the same time."""

        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=self.app)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
                return await asyncio.gather(*(client.request(method, path, **options) for options in requests))

        return asyncio.run(send())
