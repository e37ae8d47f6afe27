"""View of the enrolled people: their cover pictures, and a search."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nicegui import html

from onelook.page.components import button, initial_value, thumbnail
from onelook.page.people import Person, filter_people
from onelook.page.wording import pluralize

if TYPE_CHECKING:
    from onelook.page.frame import Frame

_PEOPLE_PER_STEP = 240
"""People shown at a time: a gallery may hold thousands."""


class PeopleView:
    """The list of people in one browser tab."""

    def __init__(self, frame: "Frame", _: str) -> None:
        """Take the frame."""
        self._frame = frame
        self._query = ""
        self._people: list[Person] = []
        self._heading = html.div().classes("heading")
        self._list = html.div()
        frame.set_title("People")

    async def draw(self) -> None:
        """Draw the people whose names match the search."""
        people = await self._frame.run(self._frame.controller.people)
        method = await self._frame.run(self._frame.controller.describe_search)
        if people is None or method is None or self._list.is_deleted:
            return
        self._people = people
        self._heading.clear()
        with self._heading:
            if not people:
                html.h1("Nobody is enrolled yet")
            else:
                with html.div():
                    html.h1(pluralize(len(people), "person", "people"))
                    html.span(method).classes("detail")
                label = {"aria-label": "Find somebody", "placeholder": "Find somebody"}
                search = html.input_(type="search", autocomplete="off", **initial_value(self._query), **label)
                search.on(
                    "input",
                    lambda event: self._search(event.args),
                    js_handler="(event) => emit(event.target.value)",
                    throttle=0.2,
                )
        self._draw_people()

    def _search(self, query: str) -> None:
        self._query = query
        self._draw_people()

    def _draw_people(self) -> None:
        found = filter_people(self._people, self._query)
        self._list.clear()
        with self._list:
            if not self._people:
                html.p("Add a photo and name a face in it.")
            elif not found:
                html.p("Nobody of that name is enrolled.")
            else:
                self._tiles = html.ul().classes("people")
                self._draw_tiles(found)

    def _draw_tiles(self, people: Sequence[Person]) -> None:
        """Draw the next people, and a button for the rest."""
        with self._tiles:
            for person in people[:_PEOPLE_PER_STEP]:
                _draw_tile(person)
        rest = people[_PEOPLE_PER_STEP:]
        if rest:

            def draw_more() -> None:
                more.delete()
                self._draw_tiles(rest)

            with self._list:
                more = button(f"{len(rest)} more", draw_more, "more")


def _draw_tile(person: Person) -> None:
    cover = person.pictures[0]
    with html.li(), html.a(href=f"/people/{person.key}").classes("person"):
        if cover.thumbnail is None:
            html.span(person.name[:1]).classes("thumb blank")
        else:
            thumbnail(f"/pictures/{cover.sha256}")
        html.span(person.name).classes("name")
        html.span(pluralize(len(person.pictures), "picture")).classes("detail")
