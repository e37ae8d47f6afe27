import asyncio

import pytest

pytest.importorskip("nicegui", reason="the page needs NiceGUI (onelook[page])")

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from onelook.page.session_cookie import SessionCookie, session_token


def page(request: Request) -> Response:
    return HTMLResponse(session_token(request))


def file(request: Request) -> Response:
    return PlainTextResponse(session_token(request))


APP = SessionCookie(Starlette(routes=[Route("/", page), Route("/file", file)]), 8080)


def get(path: str, cookie: str | None = None) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://x") as client:
            return await client.get(path, headers={} if cookie is None else {"cookie": cookie})

    return asyncio.run(send())


def test_a_browser_gets_a_secret_token_with_its_first_page_and_keeps_it() -> None:
    first = get("/")
    token = first.text
    assert first.headers["set-cookie"] == f"onelook_8080={token}; Path=/; HttpOnly; SameSite=Strict"
    assert len(token) == 43 and get("/").text != token
    again = get("/", f"onelook_8080={token}")
    assert again.text == token and "set-cookie" not in again.headers


@pytest.mark.parametrize("cookie", [None, "onelook_8080=", "onelook_8080=short", f"onelook_9090={'a' * 43}"])
def test_a_file_sets_no_cookie_and_a_malformed_token_is_replaced(cookie: str | None) -> None:
    assert "set-cookie" not in get("/file", cookie).headers
    page = get("/", cookie)
    assert len(page.text) == 43 and page.text in page.headers["set-cookie"]
