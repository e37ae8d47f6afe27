"""Frame of the page in one browser tab: header, messages, uploads, and the view of the present URL."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nicegui import Client, html, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from onelook.errors import OnelookError
from onelook.page.components import NAMES_LIST
from onelook.page.controller import Change, PageController
from onelook.page.people_view import PeopleView
from onelook.page.person_view import PersonView
from onelook.page.photo_view import PhotoView
from onelook.page.photos_view import PhotosView
from onelook.page.session import MAX_PHOTOS, Session
from onelook.page.toast import Toast
from onelook.page.unknown_view import UnknownView
from onelook.page.wording import pluralize

Result = TypeVar("Result")
_ASSETS = Path(__file__).parent
_TABS = {"/": "Photos", "/unknown": "Unknown", "/people": "People"}
_MAX_COMPLETIONS = 2000
"""Names offered as completions; a longer list would slow every page down."""
_READ_ONLY = (
    "The pipeline rebuilds this gallery, so nobody can be named or forgotten here; "
    "start the page with --gallery and a folder of your own."
)


class View(Protocol):
    """The view of one URL in one browser tab."""

    async def draw(self) -> None:
        """Draw the view with the present state of the gallery and of the session."""


class Frame:
    """The page in one browser tab, which is one NiceGUI client; the state of the tab.

    Attributes:
        controller: the gallery.
        session: the photos of the browser.
        toast: the message of the tab.
    """

    def __init__(self, client: Client, controller: PageController, session: Session) -> None:
        """Build the page in the current NiceGUI client."""
        self.controller = controller
        self.session = session
        self._client = client
        self._view: View | None = None
        self._names: list[str] = []
        ui.add_css(_ASSETS.joinpath("page.css").read_text(encoding="utf-8"))
        for script in ("upload.js", "faces.js"):
            ui.add_head_html(f"<script>{_ASSETS.joinpath(script).read_text(encoding='utf-8')}</script>")
        ui.on("uploads_started", self._start_uploads)
        ui.on("uploads_ended", self._end_uploads)
        with html.div().classes("page"):
            self._build()

    def _build(self) -> None:
        with html.header().classes("top"):
            html.a("onelook", href="/").classes("brand")
            with html.nav(**{"aria-label": "Views"}):
                self._links = {path: html.a(text, href=path) for path, text in _TABS.items()}
            html.button("Add photos", type="button").classes("button add choose-files")
        _build_upload()
        self._notice = html.p(_READ_ONLY).classes("notice")
        self._notice.visible = self.controller.read_only
        self._completions = html.datalist(id=NAMES_LIST)
        views = html.div()
        with html.footer():
            html.span(f"Gallery: {self.controller.location}. Photos stay in the memory of the server of this page.")
        self.toast = Toast()
        with views:
            ui.sub_pages({path: self._opener(path, view) for path, view in VIEWS.items()})

    def _opener(self, path: str, view: Callable[..., View]) -> Callable[..., Any]:
        async def open_view(key: str = "") -> None:
            tab = next(tab for tab in (path, f"/{path.split('/')[1]}", "/") if tab in _TABS)
            for href, link in self._links.items():
                link.props(add="aria-current=page") if href == tab else link.props(remove="aria-current")
            self._view = view(self, key)
            await self._view.draw()

        return open_view

    def open(self, path: str) -> None:
        """Open the view of another URL of the page."""
        with self._client:
            ui.navigate.to(path)

    async def run(self, operation: Callable[[], Result]) -> Result | None:
        """Call an operation in a thread; show an `OnelookError` on the page and return None instead of raising it."""
        try:
            result = await asyncio.to_thread(operation)
        except OnelookError as error:
            if not self._client.is_deleted:
                self.toast.show_error(str(error))
            return None
        if self._client.is_deleted:  # the browser tab was closed meanwhile
            return None
        self._notice.visible = self.controller.read_only
        return result

    async def apply(
        self, change: Callable[[], Change], *, opened: str | None = None, reopened: str | None = None
    ) -> None:
        """Change the gallery, draw the view again, and offer to undo the change.

        Args:
            change: makes the change.
            opened: URL to open after the change; None: the present one.
            reopened: URL to open after the change is undone; None: the present one.
        """
        made = await self.run(change)
        if made is None:
            return
        await self._redraw(opened)
        undo = made.undo

        async def revert() -> None:
            assert undo is not None
            self.toast.clear()  # so that a second click finds no button
            await self.apply(undo, opened=reopened)

        self.toast.show(made.message, None if undo is None else revert)

    async def load_completions(self) -> None:
        """Offer the enrolled names as completions of all name fields."""
        names = (await self.run(self.controller.names) or [])[:_MAX_COMPLETIONS]
        if names != self._names and not self._completions.is_deleted:
            self._names = names
            self._completions.clear()
            with self._completions:
                for name in names:
                    html.option(value=name)

    def set_title(self, title: str) -> None:
        """Set the title of the browser tab."""
        with self._client:
            ui.page_title(f"{title} – onelook")

    def focus_next_form(self) -> None:
        """Focus the form that took the place of the submitted one."""
        with self._client:
            ui.run_javascript("focusNextForm()")

    async def show_added(self, key: str) -> None:
        """Show a photo that was added to the session, if the view lists the photos."""
        if isinstance(self._view, PhotosView):
            await self._view.add(key)

    async def _redraw(self, opened: str | None) -> None:
        if opened not in (None, self._client.sub_pages_router.current_path):
            self.open(opened)
        elif self._view is not None:
            await self._view.draw()

    def _start_uploads(self, event: GenericEventArguments) -> None:
        """Open the list of photos for several uploads; a single one opens itself when it has been identified."""
        self.toast.clear()
        if event.args["count"] > 1 and not isinstance(self._view, PhotosView):
            self.open("/")

    async def _end_uploads(self, event: GenericEventArguments) -> None:
        """Open a single photo, and say which files could not be used."""
        keys, errors, skipped = event.args["keys"], event.args["errors"], event.args["skipped"]
        if len(keys) == 1:
            self.open(f"/photos/{keys[0]}")
        elif isinstance(self._view, PhotosView):
            await self._view.draw()
        if len(errors) == 1:
            self.toast.show_error(errors[0])
        elif errors:
            self.toast.show_error(f"{len(errors)} files cannot be used.", errors)
        elif not keys:
            self.toast.show_error("There is no photo among these files.")
        elif len(keys) > 1 or skipped:
            others = f"; {pluralize(skipped, 'other file')} left out" if skipped else ""
            kept = f"; the last {MAX_PHOTOS} photos are kept" if len(keys) > MAX_PHOTOS else ""
            self.toast.show(f"{pluralize(len(keys), 'photo')} added{others}{kept}")


def _build_upload() -> None:
    """Build the choosers, which upload.js opens, and the progress, which it fills."""
    for classes, attributes in (("files", {}), ("folder", {"webkitdirectory": True})):
        chooser: Element = html.input_(type="file", multiple=True, tabindex="-1", **attributes)
        chooser.classes(f"chooser {classes}").props["aria-label"] = "Photos"
        chooser.props["accept"] = "image/*,.heic,.heif,.avif"
    with html.div(hidden=True).classes("progress"):
        html.progress(**{"aria-label": "Photos identified"})
        html.span().classes("text")
        html.button("Stop", type="button").classes("button stop")


VIEWS: dict[str, Callable[..., View]] = {
    "/": PhotosView,
    "/photos/{key}": PhotoView,
    "/unknown": UnknownView,
    "/people": PeopleView,
    "/people/{key}": PersonView,
}
"""The view of each URL; a reload or a link opens the page there."""
