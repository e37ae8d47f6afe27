"""View of one photo: its faces with their names, and fields to name them."""

from typing import TYPE_CHECKING

from nicegui import ui

from onelook.gallery.gallery import Enrollment
from onelook.page.components import show_faces, show_photo
from onelook.page.photos import Face

if TYPE_CHECKING:
    from onelook.page.frame import Frame


class PhotoView:
    """The view of one photo, or of none yet, in one browser tab."""

    def __init__(self, frame: "Frame", key: str) -> None:
        """Take the frame and the key of the photo in the session; empty: none."""
        self._frame = frame
        self._key = key
        with ui.element("div").classes("drop").props("tabindex=0 role=button"):
            ui.label("Drop a photo here, or click to choose one").classes("call")
            ui.label("or paste one with Ctrl+V; it stays on this machine").classes("hint")
        self._result = ui.element("div")

    async def draw(self) -> None:
        """Draw the photo with the names that its faces have now."""
        if not self._key:
            return
        controller, session = self._frame.controller, self._frame.session
        await self._frame.run(session.refresh)
        names = await self._frame.run(controller.names) or []
        photo = session.photo(self._key)
        if self._result.is_deleted:  # the tab was closed meanwhile, or shows another view
            return
        self._result.clear()
        with self._result:
            if photo is None:
                ui.label("This photo is no longer in memory; open it again.").classes("empty")
                return
            show_photo(photo, f"/photos/{self._key}/image")
            show_faces(photo, names, None if controller.read_only else self._name_face)
        if not photo.faces:
            self._frame.show_message(f"{photo.name}: no face found; use a photo with a clear face", is_error=True)

    async def _name_face(self, face: Face, name: str) -> None:
        enrollment = await self._frame.run(lambda: self._frame.controller.name(face, name))
        if enrollment is not None:
            await self.draw()
            self._frame.show_message(_enrollment_message(enrollment))


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
