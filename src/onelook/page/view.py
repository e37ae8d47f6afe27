"""View of the page in one browser tab: shows the controller's results and passes the user's input on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from nicegui import ui

from onelook.errors import OnelookError
from onelook.gallery.gallery import Enrollment
from onelook.page.components import filter_people, show_faces, show_people, show_photo
from onelook.page.controller import DisplayedPhoto, Face, PageController, Person

Result = TypeVar("Result")
_ASSETS = Path(__file__).parent
_CARDS_PER_STEP = 60
"""People shown at a time: a gallery may hold thousands."""
_READ_ONLY = (
    "The pipeline rebuilds this gallery, so nobody can be named or forgotten here; "
    "start the page with --gallery and a folder of your own."
)


class View:
    """The page in one browser tab.

    Attributes:
        client: secret id of the tab, part of the URLs of its photos.
        photo: the displayed photo, or None.
    """

    def __init__(self, controller: PageController, client: str) -> None:
        """Build the page in the current NiceGUI client, whose id is `client`."""
        self.client = client
        self.photo: DisplayedPhoto | None = None
        self._controller = controller
        self._upload_count = 0
        ui.add_css(_ASSETS.joinpath("page.css").read_text(encoding="utf-8"))
        script = _ASSETS.joinpath("upload.js").read_text(encoding="utf-8")
        ui.add_head_html(f"<script>{script}\nacceptPhotos({client!r})</script>")
        ui.colors(primary="#2b76ad")
        with ui.element("div").classes("page"):
            self._build()

    def _build(self) -> None:
        with ui.element("header").classes("top"):
            ui.label("onelook").classes("title")
            ui.label(str(self._controller.location)).classes("folder")
            with ui.tabs(on_change=self._switch_tab).props("dense no-caps") as self._tabs:
                ui.tab("Photo")
                ui.tab("People")
        self._notice = ui.label(_READ_ONLY).classes("message")
        self._notice.visible = self._controller.read_only
        self._message = ui.label().classes("message").props("role=status")
        self._message.visible = False
        with ui.element("section") as self._photo_section:
            with ui.element("div").classes("drop").props("tabindex=0 role=button"):
                ui.label("Drop a photo here, or click to choose one").classes("call")
                ui.label("or paste one with Ctrl+V; it stays on this machine").classes("hint")
            ui.element("input").classes("chooser").props('type=file accept="image/*"')
            self._busy = ui.label("Identifying …").classes("busy")
            self._busy.visible = False
            self._result = ui.element("div")
        with ui.element("section") as self._people_section:
            self._search = ui.input("Find somebody", on_change=self._update_search).props("outlined dense clearable")
            self._cards = ui.element("div").classes("people")
        self._people_section.visible = False
        self._tabs.value = "Photo"

    async def show(self, name: str, read: Callable[[], Awaitable[bytes]]) -> None:
        """Identify the faces of an uploaded photo and display it.

        If another photo is uploaded meanwhile, the result of this one is dropped. A `OnelookError` is shown as a
        message on the page.

        Args:
            name: file name of the photo.
            read: reads the bytes of the photo.
        """
        self._upload_count += 1
        number = self._upload_count
        self._tabs.value = "Photo"
        self._busy.visible = True

        async def read_and_identify() -> DisplayedPhoto:
            return await asyncio.to_thread(self._controller.identify, await read(), name)

        try:
            photo = await self._show_errors(read_and_identify())
        finally:
            self._busy.visible = number != self._upload_count
        is_newest = number == self._upload_count
        if photo is not None and is_newest and not self._result.is_deleted:  # the tab may have been closed
            self.photo = photo
            await self._draw_photo()
            if not photo.faces:
                self._show_message(f"{photo.name}: no face found; use a photo with a clear face", is_error=True)

    async def _switch_tab(self) -> None:
        is_photo = self._tabs.value == "Photo"
        self._photo_section.visible, self._people_section.visible = is_photo, not is_photo
        if not is_photo:
            await self._draw_people()
        elif self.photo is not None:
            photo = await self._show_errors(asyncio.to_thread(self._controller.reidentify, self.photo))
            if photo is not None:
                self.photo = photo
                await self._draw_photo()

    async def _name_face(self, face: Face, name: str) -> None:
        enrollment = await self._show_errors(asyncio.to_thread(self._controller.name, face, name))
        if enrollment is not None and self.photo is not None:
            photo = await self._show_errors(asyncio.to_thread(self._controller.reidentify, self.photo))
            self.photo = photo or self.photo
            await self._draw_photo()
            self._show_message(_enrollment_message(enrollment))

    async def _forget_person(self, name: str) -> None:
        async def forget() -> str:
            await asyncio.to_thread(self._controller.forget, name)
            return f"{name}: forgotten, nothing of it is left in the gallery"

        message = await self._show_errors(forget())
        await self._draw_people()
        if message is not None:
            self._show_message(message)

    async def _draw_photo(self) -> None:
        names = await self._show_errors(asyncio.to_thread(self._controller.names)) or []
        photo = self.photo
        assert photo is not None
        self._notice.visible = read_only = self._controller.read_only
        self._result.clear()
        with self._result:
            show_photo(photo, f"/photos/{self.client}/{self._upload_count}")
            show_faces(photo, names, None if read_only else self._name_face)

    async def _draw_people(self) -> None:
        people = await self._show_errors(asyncio.to_thread(self._controller.people))
        if people is not None:
            self._notice.visible = self._controller.read_only
            self._search.visible = bool(people)
            self._cards.clear()
            with self._cards:
                if people:
                    self._draw_cards(filter_people(people, self._search.value or ""), 0)
                else:
                    ui.label("Nobody is enrolled yet: open a photo, and name a face in it.").classes("empty")

    async def _update_search(self) -> None:
        if self._people_section.visible:
            await self._draw_people()

    def _draw_cards(self, people: Sequence[Person], start: int) -> None:
        """Draw the next cards, and a button for the rest."""
        show_people(
            people[start : start + _CARDS_PER_STEP], None if self._controller.read_only else self._forget_person
        )
        rest = len(people) - start - _CARDS_PER_STEP
        if not people:
            ui.label("Nobody of that name is enrolled.").classes("empty")
        elif rest > 0:

            def draw_more() -> None:
                button.delete()
                with self._cards:
                    self._draw_cards(people, start + _CARDS_PER_STEP)

            button = ui.button(f"{rest} more", on_click=draw_more).props("flat no-caps").classes("empty")

    async def _show_errors(self, operation: Awaitable[Result]) -> Result | None:
        """Await an operation; show an `OnelookError` on the page and return None instead of raising it."""
        self._message.visible = False
        try:
            return await operation
        except OnelookError as error:
            self._show_message(str(error), is_error=True)
            return None

    def _show_message(self, text: str, *, is_error: bool = False) -> None:
        self._message.text = text
        self._message.classes(add="error") if is_error else self._message.classes(remove="error")
        self._message.visible = True


def _enrollment_message(enrollment: Enrollment) -> str:
    """Describe an enrollment, its warnings and possible duplicates, in one line."""
    photos = f"{enrollment.total} photo" if enrollment.total == 1 else f"{enrollment.total} photos"
    text = f"{enrollment.name}: {'enrolled' if enrollment.added else 'this face was enrolled before'}, with {photos}"
    for warning in enrollment.warnings:
        text += f"; {warning}: this face is hard to recognize; add a better photo"
    for pair in enrollment.duplicates:
        text += f"; {pair.name} and {pair.other} match (similarity {pair.similarity:.2f}): if they are one person, "
        text += "join them with `onelook merge`"
    return text
