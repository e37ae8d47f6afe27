"""The page in one browser tab: it shows what the desk says, and hands the desk what the user does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from nicegui import ui

from onelook.errors import OnelookError
from onelook.gallery.gallery import Enrollment
from onelook.page.components import find_people, show_faces, show_people, show_photo
from onelook.page.controller import Face, PageController, Person, PhotoView

Answer = TypeVar("Answer")
_HERE = Path(__file__).parent
_CARDS = 60  # shown at a time
_READ_ONLY = (
    "The pipeline rebuilds this gallery, so nobody can be named or forgotten here; "
    "start the page with --gallery and a folder of your own."
)


class View:
    """One tab.

    Attributes:
        client: the tab's name, which nobody else knows.
        look: the photo that is shown, or None.
    """

    def __init__(self, desk: PageController, client: str) -> None:
        """Build the page in the present NiceGUI client, of that name."""
        self.client = client
        self.predict: PhotoView | None = None
        self._desk = desk
        self._photos = 0
        ui.add_css(_HERE.joinpath("page.css").read_text(encoding="utf-8"))
        script = _HERE.joinpath("intake.js").read_text(encoding="utf-8")
        ui.add_head_html(f"<script>{script}\ntakePhotos({client!r})</script>")
        ui.colors(primary="#2b76ad")
        with ui.element("div").classes("page"):
            self._build()

    def _build(self) -> None:
        with ui.element("header").classes("top"):
            ui.label("onelook").classes("title")
            ui.label(str(self._desk.folder)).classes("folder")
            with ui.tabs(on_change=self._turn).props("dense no-caps") as self._tabs:
                ui.tab("Photo")
                ui.tab("People")
        self._notice = ui.label(_READ_ONLY).classes("message")
        self._notice.visible = self._desk.read_only
        self._message = ui.label().classes("message").props("role=status")
        self._message.visible = False
        with ui.element("section") as self._photo:
            with ui.element("div").classes("drop").props("tabindex=0 role=button"):
                ui.label("Drop a photo here, or click to choose one").classes("call")
                ui.label("or paste one with Ctrl+V; it stays on this machine").classes("hint")
            ui.element("input").classes("chooser").props('type=file accept="image/*"')
            self._busy = ui.label("Looking …").classes("busy")
            self._busy.visible = False
            self._result = ui.element("div")
        with ui.element("section") as self._people:
            self._sought = ui.input("Find somebody", on_change=self._seek).props("outlined dense clearable")
            self._cards = ui.element("div").classes("people")
        self._people.visible = False
        self._tabs.value = "Photo"

    async def show(self, name: str, read: Callable[[], Awaitable[bytes]]) -> None:
        """Show a photo of that name, its bytes given by `read`, and whose faces are in it; the newest asked for stays.

        Whatever is wrong with it is said on the page.
        """
        self._photos += 1
        mine = self._photos
        self._tabs.value = "Photo"
        self._busy.visible = True

        async def looked() -> PhotoView:
            return await asyncio.to_thread(self._desk.predict, await read(), name)

        try:
            predict = await self._try(looked())
        finally:
            self._busy.visible = mine != self._photos
        if predict is not None and mine == self._photos and not self._result.is_deleted:  # the tab may be closed by now
            self.predict = predict
            await self._draw_photo()
            if not predict.faces:
                self._say(f"{predict.photo}: no face found; use a photo with a clear face", wrong=True)

    async def _turn(self) -> None:
        photo = self._tabs.value == "Photo"
        self._photo.visible, self._people.visible = photo, not photo
        if not photo:
            await self._draw_people()
        elif self.predict is not None:
            again = await self._try(asyncio.to_thread(self._desk.look_again, self.predict))
            if again is not None:
                self.predict = again
                await self._draw_photo()

    async def _name(self, face: Face, name: str) -> None:
        done = await self._try(asyncio.to_thread(self._desk.name, face, name))
        if done is not None and self.predict is not None:
            again = await self._try(asyncio.to_thread(self._desk.look_again, self.predict))
            self.predict = again or self.predict
            await self._draw_photo()
            self._say(_told(done))

    async def _forget(self, name: str) -> None:
        async def forgotten() -> str:
            await asyncio.to_thread(self._desk.forget, name)
            return f"{name}: forgotten, nothing of it is left in the gallery"

        said = await self._try(forgotten())
        await self._draw_people()
        if said is not None:
            self._say(said)

    async def _draw_photo(self) -> None:
        names = await self._try(asyncio.to_thread(self._desk.names)) or []
        predict = self.predict
        assert predict is not None
        self._notice.visible = fixed = self._desk.read_only
        self._result.clear()
        with self._result:
            show_photo(predict, f"/photos/{self.client}/{self._photos}")
            show_faces(predict, names, None if fixed else self._name)

    async def _draw_people(self) -> None:
        people = await self._try(asyncio.to_thread(self._desk.people))
        if people is not None:
            self._notice.visible = self._desk.read_only
            self._sought.visible = bool(people)
            self._cards.clear()
            with self._cards:
                if people:
                    self._show_some(find_people(people, self._sought.value or ""), 0)
                else:
                    ui.label("Nobody is enrolled yet: show a photo, and name a face of it.").classes("nothing")

    async def _seek(self) -> None:
        if self._people.visible:
            await self._draw_people()

    def _show_some(self, people: Sequence[Person], start: int) -> None:
        """The next cards, and a button for those after them: a gallery may hold thousands."""
        show_people(people[start : start + _CARDS], None if self._desk.read_only else self._forget)
        rest = len(people) - start - _CARDS
        if not people:
            ui.label("Nobody of that name is enrolled.").classes("nothing")
        elif rest > 0:

            def more() -> None:
                button.delete()
                with self._cards:
                    self._show_some(people, start + _CARDS)

            button = ui.button(f"{rest} more", on_click=more).props("flat no-caps").classes("nothing")

    async def _try(self, doing: Awaitable[Answer]) -> Answer | None:
        """Await it; an error that the user can mend is said on the page instead of raised."""
        self._message.visible = False
        try:
            return await doing
        except OnelookError as error:
            self._say(str(error), wrong=True)
            return None

    def _say(self, text: str, *, wrong: bool = False) -> None:
        self._message.text = text
        self._message.classes(add="wrong") if wrong else self._message.classes(remove="wrong")
        self._message.visible = True


def _told(done: Enrollment) -> str:
    said = f"{done.name}: known from now on, " if done.added else f"{done.name}: this face was known already, "
    said += f"with {done.total} photo" if done.total == 1 else f"with {done.total} photos"
    for pair in done.alike:
        said += f"; {pair.name} and {pair.other} look alike ({pair.similarity:.2f}): if they are one person, "
        said += "`onelook merge` makes them one"
    return said
