"""View of all photos that the browser has opened, or of the invitation to open some."""

import asyncio
from typing import TYPE_CHECKING

from nicegui import background_tasks, html, ui
from nicegui.element import Element

from onelook.page.components import button
from onelook.page.photos import DisplayedPhoto
from onelook.page.wording import pluralize, summarize

if TYPE_CHECKING:
    from onelook.page.frame import Frame

_TILES_PER_STEP = 120
"""Photos shown at a time: the session may hold a thousand."""
_UPDATE_SECONDS = 0.5


class PhotosView:
    """The list of photos in one browser tab."""

    def __init__(self, frame: "Frame", _: str) -> None:
        """Take the frame."""
        self._frame = frame
        self._container = html.div()
        self._tiles: Element | None = None
        self._drawn: set[str] = set()
        self._added: list[str] = []
        frame.set_title("Photos")

    async def draw(self) -> None:
        """Draw the invitation, or a tile for each photo with the people in it."""
        await self._frame.run(self._frame.session.refresh)
        photos = self._frame.session.photos()
        if self._container.is_deleted:
            return
        self._container.clear()
        self._drawn.clear()
        with self._container:
            if not photos:
                self._tiles = None
                _draw_invitation()
                return
            with html.div().classes("heading"):
                self._title = html.h1()
                self._draw_title()
                button("Close all photos", self._close)
            self._tiles = html.ul().classes("tiles")
            self._draw_tiles(photos)

    async def add(self, key: str) -> None:
        """Add a tile for a photo that was just opened, soon and together with others: each update of a page costs."""
        if self._tiles is None:
            await self.draw()
            return
        self._added.append(key)
        if len(self._added) == 1:
            background_tasks.create(self._draw_added(), name="tiles of added photos")

    async def _draw_added(self) -> None:
        await asyncio.sleep(_UPDATE_SECONDS)
        keys, self._added = self._added, []
        if self._tiles is None or self._tiles.is_deleted:
            return
        self._draw_title()
        with self._tiles:
            for key in keys:
                photo = self._frame.session.photo(key)
                if photo is not None and key not in self._drawn and len(self._drawn) < _TILES_PER_STEP:
                    self._draw_tile(photo)

    def _draw_title(self) -> None:
        self._title.clear()
        with self._title:
            html.span(pluralize(len(self._frame.session.photos()), "photo"))

    def _draw_tiles(self, photos: list[DisplayedPhoto]) -> None:
        """Draw the next tiles, and a button for the rest."""
        assert self._tiles is not None
        with self._tiles:
            for photo in photos[:_TILES_PER_STEP]:
                self._draw_tile(photo)
        rest = photos[_TILES_PER_STEP:]
        if rest:

            def draw_more() -> None:
                more.delete()
                self._draw_tiles(rest)

            with self._container:
                more = button(f"{len(rest)} more", draw_more, "more")

    def _draw_tile(self, photo: DisplayedPhoto) -> None:
        self._drawn.add(photo.key)
        names = [face.identified.name for face in photo.faces if face.identified.name is not None]
        with html.li(), html.a(href=f"/photos/{photo.key}").classes("tile"):
            html.img(src=f"/photos/{photo.key}/preview", alt="", loading="lazy")
            html.span(summarize(names, len(photo.faces) - len(names), max_names=3)).classes("name")
            html.span(photo.name).classes("detail")

    async def _close(self) -> None:
        self._frame.session.close_photos()
        await self.draw()


def _draw_invitation() -> None:
    with html.div().classes("invitation drop"):
        ui.icon("add_photo_alternate").classes("symbol")
        html.h1("Who is in your photos?")
        html.p("Drop photos or a folder here, or paste one.").classes("for-mouse")
        with html.div().classes("actions"):
            html.button("Choose photos", type="button").classes("button primary choose-files for-mouse")
            html.button("Choose or take a photo", type="button").classes("button primary choose-files for-touch")
            html.button("Choose a folder", type="button").classes("button choose-folder for-mouse")
