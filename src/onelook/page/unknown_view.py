"""View of the unrecognized faces of all photos, grouped by resemblance, to be named in one click."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from nicegui import html

from onelook.page.components import button, face_picker, face_source, thumbnail
from onelook.page.photos import Face
from onelook.page.unknown_groups import MAX_ENROLLED, FaceGroup, UnknownFaces
from onelook.page.wording import pluralize

if TYPE_CHECKING:
    from onelook.page.frame import Frame

_GROUPS_PER_STEP = 30
_MAX_SINGLES = 200
"""Faces of one photo each that are shown: a folder of streets holds thousands of passers-by."""


class UnknownView:
    """The groups of unrecognized faces in one browser tab."""

    def __init__(self, frame: "Frame", _: str) -> None:
        """Take the frame."""
        self._frame = frame
        self._container = html.div()
        frame.set_title("Unknown")

    async def draw(self) -> None:
        """Draw the groups of the faces that are not recognized now."""
        session = self._frame.session
        await self._frame.run(session.refresh)
        await self._frame.load_completions()
        unknown = await self._frame.run(session.unknown_faces)
        if unknown is None or self._container.is_deleted:
            return
        self._container.clear()
        with self._container:
            self._draw_heading(unknown)
            self._groups = html.div().classes("groups")
            self._draw_groups(unknown.groups)
            self._draw_singles(unknown)
            if unknown.poor:
                html.p(f"{pluralize(unknown.poor, 'face')} left out: small, blurred or turned away.").classes("detail")

    def _draw_heading(self, unknown: UnknownFaces) -> None:
        if unknown.groups or unknown.singles:
            html.h1("Who are these people?")
            if unknown.groups:
                html.p("Faces that look like one person are together. Clear the check mark of a face that is not.")
        elif self._frame.session.photos():
            html.h1("Everybody is recognized")
        else:
            html.h1("No photos yet")
            html.p("Add photos; the people that are not recognized in them are shown here.")

    def _draw_groups(self, groups: Sequence[FaceGroup]) -> None:
        """Draw the next groups, and a button for the rest."""
        with self._groups:
            for group in groups[:_GROUPS_PER_STEP]:
                self._draw_group(group)
        rest = groups[_GROUPS_PER_STEP:]
        if rest:

            def draw_more() -> None:
                more.delete()
                self._draw_groups(rest)

            with self._groups:
                more = button(f"{len(rest)} more", draw_more, "more")

    def _draw_group(self, group: FaceGroup) -> None:
        shown = group.faces[:MAX_ENROLLED]
        with html.section().classes("card group"):
            html.h2(f"Seen {len(group.faces)} times")
            self._draw_faces(shown, "Faces that look like one person", many=True)
            if group.suggestion is not None and not self._frame.controller.read_only:
                with html.div().classes("suggestion"):
                    html.span(f"Perhaps {group.suggestion}?")
                    keys = [face.key for face in shown]
                    button(f"Yes, {group.suggestion}", partial(self._name, group.suggestion, keys))

    def _draw_singles(self, unknown: UnknownFaces) -> None:
        singles = unknown.singles[:_MAX_SINGLES]
        if not singles:
            return
        details = html.details().classes("card others")
        if not unknown.groups:
            details.props["open"] = True
        with details:
            html.summary(f"{len(unknown.singles)} seen once")
            self._draw_faces(singles, "Faces that are in one photo", many=False)

    def _draw_faces(self, faces: Sequence[Face], legend: str, *, many: bool) -> None:
        if self._frame.controller.read_only:
            with html.div().classes("choices"):
                for face in faces:
                    thumbnail(face_source(face), face.pending.photo)
        else:
            face_picker(faces, self._name, label="Who is this?", legend=legend, many=many)

    async def _name(self, name: str, keys: Sequence[str]) -> None:
        """Enroll the chosen faces under a name."""
        faces = self._frame.session.faces(keys)
        if not faces:
            self._frame.toast.show_error("No face is chosen; choose at least one.")
            return
        await self._frame.apply(lambda: self._frame.controller.name(faces, name))
        self._frame.focus_next_form()
