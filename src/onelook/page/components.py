"""What the page shows, piece by piece. Names and file names become text of elements, never markup."""

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from nicegui import ui

from onelook.gallery.identification import IdentifiedFace
from onelook.gallery.names import UNKNOWN
from onelook.page.controller import Face, Person, PhotoView

Naming = Callable[[Face, str], Awaitable[None]]
Forgetting = Callable[[str], Awaitable[None]]
_MOST_PICTURES = 12  # of a person
# What a name above a box takes of a photo's width and height, in per cent, about.
_TAG = (16.0, 4.0)


def box_style(box: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of a box (4,) inside a photo, in per cent of the photo's sides."""
    x1, y1, x2, y2 = (float(c) for c in np.clip(box, 0, [width, height, width, height]))
    return 100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height


def show_photo(predict: PhotoView, source: str) -> None:
    """The photo with a box and a name on each face."""
    with ui.element("div").classes("photo").style(f"--ratio:{predict.width / predict.height}"):
        ui.element("img").props["src"] = source
        tags: list[tuple[float, float]] = []
        for face in predict.faces:
            left, top, width, height = box_style(face.answer.box, predict.width, predict.height)
            box = ui.element("div").classes("box").style(f"left:{left}%;top:{top}%;width:{width}%;height:{height}%")
            with box:
                tag = ui.label(_label(face.answer)).classes("tag")
            if face.answer.name is not None:
                box.classes("known")
            if top < 8 or any(abs(left - x) < _TAG[0] and abs(top - y) < _TAG[1] for x, y in tags):
                tag.classes("below")
            else:
                tags.append((left, top))
            if left > 75:
                tag.classes("leftward")


def show_faces(predict: PhotoView, names: Sequence[str], name: Naming | None) -> None:
    """A line for each face: who it is, how sure that is, and a field to name it unless `name` is None."""
    for face in predict.faces:
        with ui.element("div").classes("face"):
            _thumbnail(predict.photo, face.seen.thumbnail)
            with ui.element("div").classes("who"):
                ui.label(face.answer.name or UNKNOWN).classes("name")
                ui.label(figures(face.answer)).classes("figures")
            if name is not None:
                _show_naming(face, names, name)


def find_people(people: Sequence[Person], sought: str) -> list[Person]:
    """Those in whose name every word stands, in capitals or not."""
    words = sought.casefold().split()
    return [person for person in people if all(word in person.name.casefold() for word in words)]


def show_people(people: Sequence[Person], forget: Forgetting | None) -> None:
    """A card for each person: name, pictures of the enrolled faces, and a button to forget unless `forget` is None."""
    for person in people:
        with ui.element("div").classes("person"):
            with ui.element("div").classes("who"):
                ui.label(person.name).classes("name")
                count = len(person.photos)
                ui.label(f"{count} photo" if count == 1 else f"{count} photos").classes("figures")
            if forget is not None:
                ui.button("Forget", on_click=lambda name=person.name: _ask(name, forget)).props("flat no-caps")
            with ui.element("div").classes("thumbs"):
                for photo, small in person.photos[:_MOST_PICTURES]:
                    _thumbnail(photo, small)
                if len(person.photos) > _MOST_PICTURES:
                    ui.label(f"and {len(person.photos) - _MOST_PICTURES} more").classes("figures")


def figures(answer: IdentifiedFace) -> str:
    """How sure an answer is, in words."""
    if answer.similarity is None:
        return "nobody is enrolled to compare with"
    said = f"similarity {answer.similarity:z.2f}"
    if answer.name is None:
        return f"{said} with {answer.nearest}, who is the nearest: not enough for the name"
    if answer.confidence is None:
        return said
    # A calibration never knows that much: what rounds to 100 % is said otherwise.
    return (
        f"{said}, confidence {answer.confidence:.0%}" if answer.confidence < 0.995 else f"{said}, confidence over 99%"
    )


def _label(answer: IdentifiedFace) -> str:
    return UNKNOWN if answer.name is None else f"{answer.name} {answer.similarity:z.2f}"


def _show_naming(face: Face, names: Sequence[str], name: Naming) -> None:
    known = face.answer.name

    async def submit() -> None:
        await name(face, field.value or "")

    with ui.element("div").classes("naming"):
        field = ui.input("Who is this?", value=known or "", autocomplete=list(names)).props("outlined dense")
        field.on("keydown.enter", submit)
        ui.button("Name" if known is None else "Add photo", on_click=submit).props("unelevated no-caps")


def _thumbnail(photo: str, small: str | None) -> None:
    if small is None:
        ui.label(photo).classes("thumb blank")
    else:
        image = ui.element("img").classes("thumb")
        image.props["src"] = f"data:image/jpeg;base64,{small}"
        image.props["title"] = photo


def _ask(name: str, forget: Forgetting) -> None:
    async def sure() -> None:
        dialog.close()
        await forget(name)

    with ui.dialog(value=True) as dialog, ui.card().classes("sure"):
        ui.label(f"Forget {name}?").classes("name")
        ui.label("Name, pictures and embeddings go from the gallery's files; backups keep what they hold.")
        with ui.element("div").classes("row-end"):
            ui.button("Keep", on_click=dialog.close).props("flat no-caps")
            ui.button("Forget", on_click=sure).props("unelevated no-caps color=negative")
    dialog.on("hide", dialog.delete)
