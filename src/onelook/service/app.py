"""The application of the API: endpoints, token, limits, errors, health and metrics."""

import sys
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

import onelook
from onelook.errors import GalleryError, OnelookError, PhotoError
from onelook.service import schemas
from onelook.service.admission import Admission, Limits
from onelook.service.bearer_token import is_token
from onelook.service.errors import ApiError
from onelook.service.origin_guard import OriginGuard
from onelook.service.people_endpoints import people_router
from onelook.service.photo_endpoints import photo_router
from onelook.service.recognition import Recognition
from onelook.service.request_limits import RequestLimits
from onelook.service.shared_gallery import SharedGallery
from onelook.service.telemetry import Metrics, Telemetry

_ERRORS = {
    400: "the body cannot be read",
    401: "the bearer token is missing or wrong",
    404: "there is no such person or photo",
    408: "the upload did not arrive in time",
    409: "the gallery does not permit it: a name is taken, or a photo is somebody else's",
    413: "the body has too many bytes, or a photo too many pixels",
    415: "the body is no multipart form",
    422: "a photo or a parameter cannot be used",
    429: "the client has too many requests in progress",
    503: "the server has too many requests in progress, cannot read the gallery, or took too long",
}
_BEARER = HTTPBearer(auto_error=False)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


def create_api(
    shared: SharedGallery, *, token: str | None, host: str, limits: Limits, log: Callable[[str], None] | None = None
) -> FastAPI:
    """Create the API of a gallery; `app.state.recognition.close()` ends its thread.

    Args:
        shared: the gallery.
        token: bearer token that a request must present; None: none is needed, but web pages from elsewhere are refused.
        host: address that the server listens to.
        limits: limits of requests.
        log: writes a line of the log; None: to stderr.
    """
    admission = Admission(limits)
    metrics = Metrics(lambda: admission.requests, shared.gallery.batch_size)
    recognition = Recognition(shared, admission, metrics.batch_size.observe)
    # The pages of FastAPI that show the document load scripts from a network, so there are none.
    app = FastAPI(
        title="onelook",
        version=onelook.__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.recognition = recognition

    def check_token(credentials: _Credentials) -> None:
        if token is not None and (credentials is None or not is_token(credentials.credentials, token)):
            message = "send the token of this server: Authorization: Bearer TOKEN"
            raise ApiError(401, message, {"WWW-Authenticate": "Bearer"})

    async def admit(request: Request) -> AsyncIterator[None]:
        client = "unknown" if request.client is None else request.client.host
        with admission.request(client):
            try:
                yield
            finally:
                admission.add_bytes(-request.state.received)

    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": schemas.Error, "description": text} for status, text in _ERRORS.items()
    }
    dependencies = [Depends(check_token), Depends(admit)]
    for router in (photo_router(recognition), people_router(recognition)):
        app.include_router(router, dependencies=dependencies, responses=errors)

    @app.get("/health", response_model=schemas.Health, tags=["server"])
    async def health() -> dict[str, str]:
        """Answer as long as the server works; needs no token."""
        return {"status": "ok"}

    @app.get(
        "/metrics",
        tags=["server"],
        dependencies=[Depends(check_token)],
        response_class=PlainTextResponse,
        responses={401: errors[401]},
    )
    async def show_metrics() -> Response:
        """Return the metrics in the text format of Prometheus."""
        return PlainTextResponse(metrics.to_text(), media_type="text/plain; version=0.0.4")

    _handle_errors(app)
    if token is None:
        app.add_middleware(OriginGuard, host=host)
    app.add_middleware(RequestLimits, seconds=limits.request_seconds)
    app.add_middleware(Telemetry, metrics=metrics, log=log or _print_line)
    return app


def _handle_errors(app: FastAPI) -> None:
    """Answer errors with a body `{"error": sentence}`."""

    @app.exception_handler(ApiError)
    async def answer_api_error(_: Request, error: ApiError) -> JSONResponse:
        return JSONResponse({"error": error.message}, error.status, error.headers)

    @app.exception_handler(OnelookError)
    async def answer_onelook_error(_: Request, error: OnelookError) -> JSONResponse:
        status = 422 if isinstance(error, PhotoError) else 409 if isinstance(error, GalleryError) else 503
        return JSONResponse({"error": str(error)}, status)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{where}: {first['msg']}; see /api/openapi.json"}, 422)

    @app.exception_handler(HTTPException)
    async def answer_http_error(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": f"{error.detail}; see /api/openapi.json"}, error.status_code, error.headers)


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
