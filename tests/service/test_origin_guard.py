import asyncio

import pytest

pytest.importorskip("starlette", reason="page and API need Starlette (onelook[page], onelook[api])")

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket

from onelook.service.origin_guard import OriginGuard


def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


GUARDED = OriginGuard(
    Starlette(routes=[Route("/", hello, methods=["GET", "POST"]), WebSocketRoute("/talk", talk)]), "Desk.local"
)
OWN = [
    {"host": "127.0.0.1:8080"},
    {"host": "localhost:8080", "origin": "http://localhost:8080"},
    {"host": "[::1]:8080", "origin": "http://[::1]:8080"},
    {"host": "192.168.1.5:8080", "origin": "http://192.168.1.5:8080"},
    {"host": "desk.local:8080", "origin": "http://Desk.local:8080"},
]
FOREIGN = [
    {"host": "evil.example:8080"},
    {"host": "evil.example:8080", "origin": "http://evil.example:8080"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "localhost.evil.example:8080"},
    {"host": "evil@127.0.0.1.example"},
    {"host": ""},
    {"host": "[::1"},
    {"host": "127.0.0.1:8080", "origin": "http://evil.example"},
    {"host": "127.0.0.1:8080", "origin": "null"},
    {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:3000"},
    {"host": "127.0.0.1:8080", "origin": "https://127.0.0.1:8080"},
    {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080.evil.example"},
]


def request(method: str, headers: dict[str, str]) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(GUARDED), base_url="http://x") as client:
            return await client.request(method, "/", headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", OWN)
def test_own_requests_are_admitted_with_a_policy_against_foreign_content(method: str, headers: dict[str, str]) -> None:
    response = request(method, headers)
    assert (response.status_code, response.text) == (200, "hello")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self' ")
    assert "http" not in policy and "*" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", FOREIGN)
def test_foreign_requests_get_403(method: str, headers: dict[str, str]) -> None:
    response = request(method, headers)
    assert response.status_code == 403
    assert response.text == "refused: open this page by the address that `onelook serve` printed\n"


def connect(headers: dict[str, str]) -> list[str]:
    """Connect a web socket and return the types of the messages sent to it."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    asyncio.run(GUARDED({"type": "websocket", "path": "/talk", "headers": raw}, receive, send))
    return [message["type"] for message in sent]


def test_a_foreign_web_socket_is_closed() -> None:
    for headers in OWN:
        assert connect(headers) == ["websocket.accept", "websocket.send", "websocket.close"]
    for headers in FOREIGN:
        assert connect(headers) == ["websocket.close"]
