"""Frame of the page in one browser tab: header, messages, uploads, and the view of the present URL."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from nicegui import Client, html, ui
from nicegui.events import GenericEventArguments

from onelook.errors import OnelookError
from onelook.page.controller import PageController
from onelook.page.people_view import PeopleView
from onelook.page.photo_view import PhotoView
from onelook.page.session import Session

Result = TypeVar("Result")
_ASSETS = Path(__file__).parent
_TABS = {"/": "Photo", "/people": "People"}
_READ_ONLY = (
    "The pipeline rebuilds this gallery, so nobody can be named or forgotten here; "
    "start the page with --gallery and a folder of your own."
)


class Frame:
    """The page in one browser tab, which is one NiceGUI client; the state of the tab.

    Attributes:
        controller: the gallery.
        session: the photos of the browser.
    """

    def __init__(self, client: Client, controller: PageController, session: Session) -> None:
        """Build the page in the current NiceGUI client."""
        self.controller = controller
        self.session = session
        self._client = client
        ui.add_css(_ASSETS.joinpath("page.css").read_text(encoding="utf-8"))
        script = _ASSETS.joinpath("upload.js").read_text(encoding="utf-8")
        ui.add_head_html(f"<script>{script}\nacceptPhotos()</script>")
        ui.colors(primary="#2b76ad")
        ui.on("upload_started", self._show_busy)
        ui.on("upload_ended", self._end_upload)
        with ui.element("div").classes("page"):
            self._build()

    def _build(self) -> None:
        with html.header().classes("top"):
            ui.label("onelook").classes("title")
            ui.label(str(self.controller.location)).classes("folder")
            with html.nav():
                self._links = {path: html.a(text, href=path) for path, text in _TABS.items()}
        self._notice = ui.label(_READ_ONLY).classes("message")
        self._notice.visible = self.controller.read_only
        self._message = ui.label().classes("message").props("role=status")
        self._message.visible = False
        self._busy = ui.label("Identifying …").classes("busy")
        self._busy.visible = False
        ui.element("input").classes("chooser").props('type=file accept="image/*"')
        ui.sub_pages({path: self._opener(path, view) for path, view in VIEWS.items()})

    def _opener(self, path: str, view: Callable[..., Any]) -> Callable[..., Any]:
        async def open_view(key: str = "") -> None:
            for href, link in self._links.items():
                link.props(add="aria-current=page") if href == path else link.props(remove="aria-current")
            await view(self, key).draw()

        return open_view

    def open(self, path: str) -> None:
        """Open the view of another URL of the page."""
        with self._client:
            ui.navigate.to(path)

    async def run(self, operation: Callable[[], Result]) -> Result | None:
        """Call an operation in a thread; show an `OnelookError` on the page and return None instead of raising it."""
        self._message.visible = False
        try:
            result = await asyncio.to_thread(operation)
        except OnelookError as error:
            self.show_message(str(error), is_error=True)
            return None
        self._notice.visible = self.controller.read_only
        return result

    def show_message(self, text: str, *, is_error: bool = False) -> None:
        """Show a message above the view."""
        self._message.text = text
        self._message.classes(add="error") if is_error else self._message.classes(remove="error")
        self._message.visible = True

    def _show_busy(self) -> None:
        self._busy.visible = True

    def _end_upload(self, event: GenericEventArguments) -> None:
        """Open the photo that was uploaded, or show why it cannot be used."""
        self._busy.visible = False
        if "key" in event.args:
            self._message.visible = False
            self.open(f"/photos/{event.args['key']}")
        else:
            self.show_message(str(event.args.get("error")), is_error=True)


VIEWS: dict[str, Callable[..., Any]] = {"/": PhotoView, "/photos/{key}": PhotoView, "/people": PeopleView}
"""The view of each URL; a reload or a link opens the page there."""
