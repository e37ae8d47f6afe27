"""View of the enrolled people: their pictures, a search, and buttons to forget them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nicegui import ui

from onelook.page.components import filter_people, show_people
from onelook.page.controller import Person

if TYPE_CHECKING:
    from onelook.page.frame import Frame

_CARDS_PER_STEP = 60
"""People shown at a time: a gallery may hold thousands."""


class PeopleView:
    """The view of the people in one browser tab."""

    def __init__(self, frame: "Frame", _: str) -> None:
        """Take the frame."""
        self._frame = frame
        self._search = ui.input("Find somebody", on_change=self.draw).props("outlined dense clearable")
        self._cards = ui.element("div").classes("people")

    async def draw(self) -> None:
        """Draw the people whose names match the search."""
        people = await self._frame.run(self._frame.controller.people)
        if people is None or self._cards.is_deleted:
            return
        self._search.visible = bool(people)
        self._cards.clear()
        with self._cards:
            if people:
                self._draw_cards(filter_people(people, self._search.value or ""), 0)
            else:
                ui.label("Nobody is enrolled yet: open a photo, and name a face in it.").classes("empty")

    async def _forget_person(self, name: str) -> None:
        def forget() -> str:
            self._frame.controller.forget(name)
            return f"{name}: forgotten, nothing of it is left in the gallery"

        message = await self._frame.run(forget)
        await self.draw()
        if message is not None:
            self._frame.show_message(message)

    def _draw_cards(self, people: Sequence[Person], start: int) -> None:
        """Draw the next cards, and a button for the rest."""
        forget_person = None if self._frame.controller.read_only else self._forget_person
        show_people(people[start : start + _CARDS_PER_STEP], forget_person)
        rest = len(people) - start - _CARDS_PER_STEP
        if not people:
            ui.label("Nobody of that name is enrolled.").classes("empty")
        elif rest > 0:

            def draw_more() -> None:
                button.delete()
                with self._cards:
                    self._draw_cards(people, start + _CARDS_PER_STEP)

            button = ui.button(f"{rest} more", on_click=draw_more).props("flat no-caps").classes("empty")
