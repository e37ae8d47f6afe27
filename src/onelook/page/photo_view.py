"""View of one photo: its faces with their names, and fields to name them."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from nicegui import html

from onelook.page.arrangement import Arrangement, arrange_faces
from onelook.page.components import button, face_picker, face_source, name_form, thumbnail
from onelook.page.photo_figure import PhotoFigure
from onelook.page.photos import DisplayedPhoto, Face
from onelook.page.wording import (
    describe_confidence,
    describe_similarity,
    describe_unrecognized,
    is_certain,
    suggested_name,
    summarize,
)
from onelook.service.person_key import person_key

if TYPE_CHECKING:
    from onelook.page.frame import Frame

_QUESTION = "Who is this?"


class PhotoView:
    """The view of one photo in one browser tab."""

    def __init__(self, frame: "Frame", key: str) -> None:
        """Take the frame and the key of the photo in the session."""
        self._frame = frame
        self._key = key
        self._are_others_open: bool | None = None
        self._container = html.div()

    async def draw(self) -> None:
        """Draw the photo with the names that its faces have now."""
        await self._frame.run(self._frame.session.refresh)
        await self._frame.load_completions()
        photo = self._frame.session.photo(self._key)
        if self._container.is_deleted:  # the tab was closed meanwhile, or shows another view
            return
        self._frame.set_title("Photo" if photo is None else photo.name)
        self._container.clear()
        with self._container:
            if photo is None:
                html.h1("This photo is no longer in memory")
                html.p("Photos are kept until the page's server ends, the last thousand of them. Open it again.")
            else:
                self._draw_photo(photo)

    def _draw_photo(self, photo: DisplayedPhoto) -> None:
        arrangement = arrange_faces(photo.faces)
        figure = PhotoFigure(photo, arrangement)
        names = [face.identified.name or "" for face in arrangement.recognized]
        with html.div().classes(f"photo-view {figure.classes}"):
            with html.div().classes("heading"):
                html.h1(summarize(names, len(photo.faces) - len(names)))
                self._draw_neighbors()
            figure.draw()
            with html.div().classes("faces"):
                if not photo.faces:
                    html.p("Use a photo in which the face is larger, sharper or turned to the camera.")
                self._draw_rows(arrangement, figure)
                self._draw_others(arrangement)
                html.p(photo.name).classes("detail file")

    def _draw_neighbors(self) -> None:
        keys = [photo.key for photo in self._frame.session.photos()]
        if len(keys) == 1 or self._key not in keys:  # a photo that others displaced meanwhile has no neighbors
            return
        place = keys.index(self._key)
        with html.nav(**{"aria-label": "Photos"}).classes("neighbors"):
            if place > 0:
                _arrow("‹", "Previous photo", "prev", keys[place - 1])
            html.span(f"{place + 1} of {len(keys)}").classes("detail")
            if place + 1 < len(keys):
                _arrow("›", "Next photo", "next", keys[place + 1])

    def _draw_rows(self, arrangement: Arrangement, figure: PhotoFigure) -> None:
        if not arrangement.listed:
            return
        with html.ul().classes("rows"):
            for face in arrangement.listed:
                is_named = face.identified.name is not None
                with html.li(**{"data-face": face.key}).classes("row named" if is_named else "row"):
                    html.span(str(figure.number(face))).classes("number")
                    thumbnail(face_source(face))
                    (self._draw_recognized if is_named else self._draw_unrecognized)(face)

    def _draw_recognized(self, face: Face) -> None:
        name = face.identified.name or ""
        with html.div().classes("who"):
            html.a(name, href=f"/people/{person_key(name)}").classes("name")
            with html.span(title=describe_similarity(face.identified)).classes("detail"):
                html.span("enrolled with this picture" if face.is_enrolled else describe_confidence(face.identified))
        controller = self._frame.controller
        if controller.read_only:
            return
        with html.div().classes("actions"):
            # A face that is recognized with certainty adds little to the person's template.
            if not face.is_enrolled and not is_certain(face.identified) and face.problem is None:
                meaning = f"Right: add this picture to those of {name}"
                button("Right", partial(self._name, name, [face.key]), title=meaning, **{"aria-label": meaning})
            if controller.can_undo:
                meaning = f"Wrong: this is not {name}"
                reject = partial(self._frame.apply, partial(controller.reject, face))
                button("Wrong", reject, title=meaning, **{"aria-label": meaning})

    def _draw_unrecognized(self, face: Face) -> None:
        with html.div().classes("who"):
            html.span(describe_unrecognized(face.identified)).classes("detail")
            if face.problem is not None:
                html.span("Add a larger, sharper photo from the front to name it.", title=face.problem).classes(
                    "detail"
                )
            elif not self._frame.controller.read_only:
                self._draw_suggestion(face)
                name_form(_QUESTION, self._name, face=face)

    def _draw_suggestion(self, face: Face) -> None:
        name = suggested_name(face.identified)
        if name is not None:
            with html.div().classes("suggestion"):
                html.span(f"Perhaps {name}?")
                button(f"Yes, {name}", partial(self._name, name, [face.key]))

    def _draw_others(self, arrangement: Arrangement) -> None:
        """Draw the faces without rows, collapsed; at first open where nobody has a row."""
        others = arrangement.others
        if not others:
            return
        if self._are_others_open is None:
            self._are_others_open = not arrangement.listed
        details = html.details().classes("others")
        if self._are_others_open:
            details.props["open"] = True
        details.on("toggle", lambda event: self._remember_others(event.args), js_handler="(e) => emit(e.target.open)")
        with details:
            html.summary(f"{len(others)} {'more ' if arrangement.listed else ''}not recognized")
            if self._frame.controller.read_only:
                for face in others:
                    thumbnail(face_source(face))
            else:
                face_picker(others, self._name, label=_QUESTION, legend="Faces that are not recognized", many=False)

    def _remember_others(self, is_open: bool) -> None:
        self._are_others_open = is_open

    async def _name(self, name: str, keys: Sequence[str]) -> None:
        """Enroll faces of the photo under a name."""
        faces = self._frame.session.faces(keys)
        if not faces:
            self._frame.toast.show_error("No face is chosen; choose one first.")
            return
        await self._frame.apply(lambda: self._frame.controller.name(faces, name))
        self._frame.focus_next_form()


def _arrow(symbol: str, text: str, relation: str, key: str) -> None:
    """Show a link to a neighboring photo."""
    html.a(symbol, href=f"/photos/{key}", rel=relation, title=text, **{"aria-label": text}).classes("button")
