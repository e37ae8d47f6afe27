import asyncio

import pytest

pytest.importorskip("httpx")

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from onelook.service.request_limits import BOUNDED_BODY, MAX_JSON_BYTES, RequestLimits


async def answer(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params.get("seconds", 0)))
    if "bounds" in request.query_params:
        request.scope[BOUNDED_BODY] = True
    try:
        return PlainTextResponse(str(len(await request.body())))
    except ValueError:  # as FastAPI answers a body that it cannot parse
        return JSONResponse({"error": "cannot parse"}, 400)


def post(
    path: str, body: bytes = b"", kind: str = "application/json", max_json_bytes: int | None = MAX_JSON_BYTES
) -> httpx.Response:
    starlette = Starlette(routes=[Route("/", answer, methods=["POST"])])
    app = RequestLimits(starlette, seconds=0.2, max_json_bytes=max_json_bytes)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post(path, content=body, headers={"content-type": kind})

    return asyncio.run(send())


def test_a_request_that_takes_too_long_is_answered() -> None:
    late = post("/?seconds=5")
    assert (late.status_code, late.json()["error"].split(";")[0]) == (503, "this took too long")
    assert post("/?seconds=0").text == "0"


def test_only_a_body_that_its_endpoint_bounds_may_be_large() -> None:
    assert post("/", b" " * MAX_JSON_BYTES).text == str(MAX_JSON_BYTES)
    large = post("/", b" " * (MAX_JSON_BYTES + 1))
    assert (large.status_code, large.json()["error"].split(";")[0]) == (413, "the body is larger than 64 KiB")
    assert post("/", b" " * (MAX_JSON_BYTES + 1), "multipart/form-data; boundary=x").status_code == 413
    assert post("/?bounds", b" " * (MAX_JSON_BYTES + 1)).status_code == 200
    assert post("/", b" " * (MAX_JSON_BYTES + 1), max_json_bytes=None).status_code == 200
