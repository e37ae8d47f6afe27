"""Components that several views share. Names and file names become text of elements, never markup."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import html, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from onelook.page.photos import Face

NAMES_LIST = "people-names"
"""Id of the list of enrolled names, which fields offer as completions."""
_MAX_NAME_LENGTH = "200"

# Sends the fields of a form; once, if the same is submitted twice in a hurry.
_SUBMIT = """(event) => {
    event.preventDefault();
    const form = event.target;
    const fields = new FormData(form);
    const values = { name: fields.get("name") ?? "", faces: fields.getAll("face") };
    if (form.dataset.sent === JSON.stringify(values)) return;
    form.dataset.sent = JSON.stringify(values);
    setTimeout(() => delete form.dataset.sent, 1000);
    rememberForm(form);
    emit(values);
}"""

SubmitName = Callable[[str, list[str]], Awaitable[Any]]
"""Callback of a form: the name, and the keys of the faces."""


def button(text: str, handler: Callable[[], Any], classes: str = "", **attributes: str) -> Element:
    """Show a button that calls a handler."""
    shown = html.button(text, type="button", **attributes).classes(f"button {classes}")
    return shown.on("click", lambda: handler(), args=[])


def name_form(
    label: str, submit: SubmitName, *, action: str = "Name", value: str = "", face: Face | None = None
) -> None:
    """Show a field for a name with a button.

    Args:
        label: label of the field.
        submit: callback of the form.
        action: text of the button.
        value: name in the field at first.
        face: the face that is named, or None.
    """
    with _form(submit, "name-form"):
        if face is not None:
            html.input_(type="hidden", name="face", value=face.key)
        _name_field(label, value)
        html.button(action, type="submit").classes("button primary")


def face_picker(faces: Sequence[Face], submit: SubmitName, *, label: str, legend: str, many: bool) -> None:
    """Show faces to choose from, with one field for the name of the chosen ones.

    Args:
        faces: the faces; those that cannot be enrolled cannot be chosen.
        submit: callback of the form.
        label: label of the field.
        legend: what the faces are, for screen readers.
        many: several faces are chosen, at first all; otherwise one is, at first the first one.
    """
    first = next((face.key for face in faces if face.problem is None), None)
    with _form(submit, "picker"):
        with html.fieldset().classes("choices"):
            html.legend(legend).classes("hidden")
            for face in faces:
                _choice(face, is_chosen=many or face.key == first, many=many)
        if first is not None:
            with html.div().classes("name-form"):
                _name_field(label, "")
                html.button("Name", type="submit").classes("button primary")


def initial_value(value: str) -> dict[str, str]:
    """Return the attribute that fills a field at first.

    The prefix makes Vue set the attribute rather than the property, which it would set again at every update of the
    page, over what was typed since.
    """
    return {"^value": value}


def thumbnail(source: str, title: str = "", classes: str = "") -> None:
    """Show the thumbnail of a face, loaded once it is scrolled into view; its text alternative is beside it."""
    html.img(src=source, alt="", title=title, loading="lazy", width="96", height="96").classes(f"thumb {classes}")


def face_source(face: Face) -> str:
    """Return the URL of the thumbnail of a face of a photo."""
    return f"/photos/{face.key.rsplit('-', 1)[0]}/faces/{face.key}"


def confirm(question: str, consequence: str, action: str, handler: Callable[[], Awaitable[Any]]) -> None:
    """Ask before a handler is called.

    Args:
        question: the question.
        consequence: what the action does.
        action: text of the button.
        handler: called if the user agrees.
    """

    async def agree() -> None:
        dialog.close()
        await handler()

    with ui.dialog(value=True).props('aria-labelledby="question"') as dialog, html.div().classes("card confirm"):
        html.h2(question, id="question")
        html.p(consequence)
        with html.div().classes("actions"):
            button("Cancel", dialog.close)
            button(action, agree, "danger")
    dialog.on("hide", dialog.delete)


def _form(submit: SubmitName, classes: str) -> Element:
    async def handle(event: GenericEventArguments) -> None:
        await submit(event.args["name"], event.args["faces"])

    return html.form().classes(classes).on("submit", handle, js_handler=_SUBMIT)


def _name_field(label: str, value: str) -> None:
    attributes = {"aria-label": label, "placeholder": label, "list": NAMES_LIST, **initial_value(value)}
    html.input_(type="text", name="name", autocomplete="off", maxlength=_MAX_NAME_LENGTH, **attributes)


def _choice(face: Face, *, is_chosen: bool, many: bool) -> None:
    """Show a face as a check box, or as a radio button."""
    with html.label(title=face.problem or face.pending.photo).classes("choice") as label:
        label.props["data-face"] = face.key
        attributes = {"aria-label": f"Face in {face.pending.photo}", "value": face.key}
        box = html.input_(type="checkbox" if many else "radio", name="face", **attributes)
        if face.problem is not None:
            box.props["disabled"] = True
        elif is_chosen:
            box.props["checked"] = True
        thumbnail(face_source(face))
