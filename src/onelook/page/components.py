"""NiceGUI components of the page. Names and file names become text of elements, never markup."""

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from nicegui import ui

from onelook.gallery.identification import IdentifiedFace
from onelook.page.controller import Person
from onelook.page.photos import DisplayedPhoto, Face

NameFace = Callable[[Face, str], Awaitable[None]]
"""Callback that names a face."""
ForgetPerson = Callable[[str], Awaitable[None]]
"""Callback that removes a person by name."""

_MAX_THUMBNAILS = 12
"""Thumbnails shown of one person."""
_TAG_SIZE = (16.0, 4.0)
"""Approximate width and height of a name tag, in percent of the photo's width and height."""
_TOP_MARGIN, _RIGHT_MARGIN = 8, 75
"""Percent: a box above the first gets its tag below, a box right of the second gets its tag aligned to the right."""


def box_style(box: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    """Convert a box to CSS left, top, width and height, clipped to the photo.

    Args:
        box: (4,) x1 y1 x2 y2 in pixels of the photo.
        width: width of the photo in pixels.
        height: height of the photo in pixels.

    Returns:
        Left, top, width and height in percent of the photo's sides.
    """
    x1, y1, x2, y2 = (float(c) for c in np.clip(box, 0, [width, height, width, height]))
    return 100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height


def show_photo(photo: DisplayedPhoto, source: str) -> None:
    """Show a photo with a box and a name tag on each face.

    A tag goes below its box where there is no space above it, or where it would cover the tag of another face.

    Args:
        photo: the identified photo.
        source: URL of its JPEG.
    """
    with ui.element("div").classes("photo").style(f"--ratio:{photo.width / photo.height}"):
        ui.element("img").props["src"] = source
        tags: list[tuple[float, float]] = []
        for face in photo.faces:
            left, top, width, height = box_style(face.identified.box, photo.width, photo.height)
            box = ui.element("div").classes("box").style(f"left:{left}%;top:{top}%;width:{width}%;height:{height}%")
            with box:
                tag = ui.label(_tag_text(face.identified)).classes("tag")
            if face.identified.name is not None:
                box.classes("named")
            if top < _TOP_MARGIN or any(abs(left - x) < _TAG_SIZE[0] and abs(top - y) < _TAG_SIZE[1] for x, y in tags):
                tag.classes("below")
            else:
                tags.append((left, top))
            if left > _RIGHT_MARGIN:
                tag.classes("leftward")


def show_faces(photo: DisplayedPhoto, names: Sequence[str], name_face: NameFace | None) -> None:
    """Show a row for each face: thumbnail, name, match and a field to name it.

    Args:
        photo: the identified photo.
        names: enrolled names, offered as completions.
        name_face: callback of the field; None: the field is left out.
    """
    for face in photo.faces:
        with ui.element("div").classes("face"):
            _show_thumbnail(photo.name, face.pending.thumbnail)
            with ui.element("div").classes("summary"):
                ui.label(face.identified.label).classes("name")
                ui.label(describe_match(face.identified)).classes("details")
            if name_face is not None:
                _show_name_field(face, names, name_face)


def filter_people(people: Sequence[Person], query: str) -> list[Person]:
    """Return the people whose name contains every word of a query, ignoring case."""
    words = query.casefold().split()
    return [person for person in people if all(word in person.name.casefold() for word in words)]


def show_people(people: Sequence[Person], forget_person: ForgetPerson | None) -> None:
    """Show a card for each person: name, thumbnails and a button to remove them.

    Args:
        people: the people to show.
        forget_person: callback of the button, after a confirmation; None: the button is left out.
    """
    for person in people:
        with ui.element("div").classes("person"):
            with ui.element("div").classes("summary"):
                ui.label(person.name).classes("name")
                count = len(person.photos)
                ui.label(f"{count} photo" if count == 1 else f"{count} photos").classes("details")
            if forget_person is not None:
                ui.button("Forget", on_click=lambda name=person.name: _confirm_forget(name, forget_person)).props(
                    "flat no-caps"
                )
            with ui.element("div").classes("thumbs"):
                for photo, thumbnail in person.photos[:_MAX_THUMBNAILS]:
                    _show_thumbnail(photo, thumbnail)
                if len(person.photos) > _MAX_THUMBNAILS:
                    ui.label(f"and {len(person.photos) - _MAX_THUMBNAILS} more").classes("details")


def describe_match(face: IdentifiedFace) -> str:
    """Describe the similarity and the confidence of a match, in words."""
    if face.similarity is None:
        return "nobody is enrolled to compare with"
    text = f"similarity {face.similarity:z.2f}"
    if face.name is None:
        verdict = "below the threshold" if face.reason is None else f"too little to tell ({face.reason})"
        return f"{text} with {face.nearest}, the nearest person: {verdict}"
    if face.confidence is None:
        return text
    # No calibration supports a claim of 100 %.
    return f"{text}, confidence {face.confidence:.0%}" if face.confidence < 0.995 else f"{text}, confidence over 99%"


def _tag_text(face: IdentifiedFace) -> str:
    return face.label if face.name is None else f"{face.name} {face.similarity:z.2f}"


def _show_name_field(face: Face, names: Sequence[str], name_face: NameFace) -> None:
    name = face.identified.name

    async def submit() -> None:
        await name_face(face, field.value or "")

    with ui.element("div").classes("name-field"):
        field = ui.input("Who is this?", value=name or "", autocomplete=list(names)).props("outlined dense")
        field.on("keydown.enter", submit)
        ui.button("Name" if name is None else "Add photo", on_click=submit).props("unelevated no-caps")


def _show_thumbnail(photo: str, thumbnail: str | None) -> None:
    """Show a thumbnail (JPEG in base64), or the photo's name where there is none."""
    if thumbnail is None:
        ui.label(photo).classes("thumb blank")
    else:
        image = ui.element("img").classes("thumb")
        image.props["src"] = f"data:image/jpeg;base64,{thumbnail}"
        image.props["title"] = photo


def _confirm_forget(name: str, forget_person: ForgetPerson) -> None:
    async def confirm() -> None:
        dialog.close()
        await forget_person(name)

    with ui.dialog(value=True) as dialog, ui.card().classes("confirm"):
        ui.label(f"Forget {name}?").classes("name")
        ui.label("Name, thumbnails and embeddings are removed from the gallery's files; backups are not changed.")
        with ui.element("div").classes("row-end"):
            ui.button("Keep", on_click=dialog.close).props("flat no-caps")
            ui.button("Forget", on_click=confirm).props("unelevated no-caps color=negative")
    dialog.on("hide", dialog.delete)
