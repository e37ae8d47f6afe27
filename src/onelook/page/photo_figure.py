"""A photo with a box on each face, and names where they fit, else numbers that refer to the list of faces."""

from nicegui import html

from onelook.page.arrangement import NARROW, WIDE, Arrangement, TagPlace, box_style, place_tags, shown_side
from onelook.page.photos import DisplayedPhoto, Face

_SCREENS = {"wide": WIDE, "narrow": NARROW}
_MIN_NUMBERED_SIDE = 20.0
"""Shorter side in CSS pixels of a box whose number is shown; that of a smaller one, while the face is linked."""


class PhotoFigure:
    """The layout of a photo: the same boxes on a screen and on a phone, with names or numbers by what fits there."""

    def __init__(self, photo: DisplayedPhoto, arrangement: Arrangement) -> None:
        """Place the tags of the recognized faces.

        Args:
            photo: the photo.
            arrangement: its faces.
        """
        self._photo = photo
        self._numbers = {face.key: number for number, face in enumerate(arrangement.listed, 1)}
        self._names = {face.key: face.identified.name or "" for face in arrangement.recognized}
        self._places = {screen: place_tags(photo, self._names, shown) for screen, shown in _SCREENS.items()}

    @property
    def classes(self) -> str:
        """Return the CSS classes of the view: on which screens the faces are numbered."""
        return " ".join(f"numbered-{screen}" for screen, places in self._places.items() if self._names and not places)

    def number(self, face: Face) -> int:
        """Return the number of a listed face."""
        return self._numbers[face.key]

    def draw(self) -> None:
        """Draw the photo with its boxes; a box is a button that leads to the face's row, see faces.js."""
        photo = self._photo
        with html.div().classes("photo").style(f"--ratio:{photo.width / photo.height}"):
            html.img(
                src=f"/photos/{photo.key}/image", alt=f"Photo {photo.name}", width=photo.width, height=photo.height
            )
            # Large boxes first: a small face in front of a large one stays within reach.
            for face in sorted(photo.faces, key=lambda face: -face.size):
                self._draw_box(face)

    def _draw_box(self, face: Face) -> None:
        left, top, width, height = box_style(face.identified.box, self._photo.width, self._photo.height)
        name = self._names.get(face.key, "Not recognized")
        number = str(self._numbers.get(face.key, ""))
        label = f"{number} {name}".strip()
        attributes = {
            "aria-label": label,
            "data-face": face.key,
            "tabindex": "0" if face.key in self._numbers else "-1",
        }
        box = html.button(type="button", **attributes).classes("box")
        box.style(f"left:{left}%;top:{top}%;width:{width}%;height:{height}%")
        with box:
            if face.key in self._names:
                box.classes("named")
                html.span(name).classes(f"tag {self._tag_classes(face.key)}")
            if number:
                html.span(number).classes("number")
        for screen, shown in _SCREENS.items():
            if shown_side(face.identified.box, self._photo, shown) < _MIN_NUMBERED_SIDE:
                box.classes(f"{screen}-tiny")

    def _tag_classes(self, key: str) -> str:
        classes = []
        for screen, places in self._places.items():
            place = places.get(key, TagPlace(is_below=False, is_right=False))
            classes += [f"{screen}-below"] * place.is_below + [f"{screen}-right"] * place.is_right
        return " ".join(classes)
