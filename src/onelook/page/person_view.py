"""View of one person: the pictures, and forms to rename, merge and forget the person."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nicegui import html

from onelook.gallery.data import EnrolledFace
from onelook.page.components import button, confirm, name_form, thumbnail
from onelook.page.controller import Change
from onelook.page.people import Person
from onelook.page.wording import pluralize
from onelook.service.person_key import person_key

if TYPE_CHECKING:
    from onelook.page.frame import Frame


class PersonView:
    """The view of one person in one browser tab."""

    def __init__(self, frame: "Frame", key: str) -> None:
        """Take the frame and the key of the person."""
        self._frame = frame
        self._key = key
        self._container = html.div()
        frame.set_title("Person")  # not the name, which would stay in the browser's history

    async def draw(self) -> None:
        """Draw the person's pictures and forms."""
        people = await self._frame.run(self._frame.controller.people)
        await self._frame.load_completions()
        if people is None or self._container.is_deleted:
            return
        person = next((person for person in people if person.key == self._key), None)
        self._container.clear()
        with self._container:
            html.a("‹ All people", href="/people").classes("back")
            if person is None:
                html.h1("This person is not enrolled any more")
                return
            html.h1(person.name)
            with html.ul(**{"aria-label": f"Pictures of {person.name}"}).classes("pictures"):
                for picture in person.pictures:
                    self._draw_picture(person, picture)
            if not self._frame.controller.read_only:
                self._draw_forms(person)

    def _draw_picture(self, person: Person, picture: EnrolledFace) -> None:
        with html.li():
            if picture.thumbnail is None:
                html.span("no picture").classes("thumb blank")
            else:
                thumbnail(f"/pictures/{picture.sha256}", picture.photo)
            html.span(Path(picture.photo).name, title=picture.photo).classes("detail")
            if len(person.pictures) > 1 and not self._frame.controller.read_only:
                remove = partial(self._frame.controller.remove_picture, person.name, picture.sha256)
                label = {"aria-label": f"Remove picture {picture.photo}", "title": "Remove this picture"}
                button("×", partial(self._frame.apply, remove), "close", **label)

    def _draw_forms(self, person: Person) -> None:
        with html.section(**{"aria-label": "Change"}).classes("card forms"):
            with html.div():
                html.h2("Another name")
                name_form("New name", partial(self._rename, person), action="Rename", value=person.name)
            with html.div():
                html.h2("The same person as")
                name_form("Name of the other one", partial(self._merge, person), action="Merge")
            with html.div():
                html.h2("Forget")
                html.p(
                    "Name, pictures and embeddings are removed from the gallery; known backups are named, not changed."
                )
                button(f"Forget {person.name}", partial(self._ask_forget, person), "danger")

    async def _rename(self, person: Person, new: str, _: Sequence[str]) -> None:
        await self._change(person, partial(self._frame.controller.rename, person.name, new), person_key(new))

    async def _merge(self, person: Person, into: str, _: Sequence[str]) -> None:
        await self._change(person, partial(self._frame.controller.merge, person.name, into), person_key(into))

    def _ask_forget(self, person: Person) -> None:
        pictures = pluralize(len(person.pictures), "picture")
        undo = " Undo is offered for some seconds." if self._frame.controller.can_undo else ""
        confirm(
            f"Forget {person.name}?",
            f"The name and {pictures} with their embeddings are removed from the gallery.{undo}",
            "Forget",
            partial(self._change, person, partial(self._frame.controller.forget, person.name)),
        )

    async def _change(self, person: Person, change: Callable[[], Change], key: str | None = None) -> None:
        """Make a change, then open the person of a key, or the list; Undo opens this person again."""
        opened = "/people" if key is None else f"/people/{key}"
        await self._frame.apply(change, opened=opened, reopened=f"/people/{person.key}")
