"""What the page says of a face, and where it draws the box."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("nicegui", reason="the page needs NiceGUI (onelook[page])")

from onelook.gallery.identification import IdentifiedFace
from onelook.page.components import box_style, figures, find_people
from onelook.page.controller import Person


def face(**answer: Any) -> IdentifiedFace:
    plain = {"name": None, "similarity": None, "nearest": None}
    return IdentifiedFace(
        box=np.zeros(4), landmarks=np.zeros((5, 2)), score=0.9, embedding=np.zeros(4), **(plain | answer)
    )


def test_boxes_are_in_per_cent_and_stay_inside() -> None:
    assert box_style(np.asarray([20.0, 10.0, 60.0, 40.0]), 200, 100) == (10, 10, 20, 30)
    assert box_style(np.asarray([-50.0, 50.0, 250.0, 150.0]), 200, 100) == (0, 50, 100, 50)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "nobody is enrolled to compare with"),
        (
            {"similarity": 0.204, "nearest": "Ada"},
            "similarity 0.20 with Ada, who is the nearest: not enough for the name",
        ),
        ({"similarity": -0.001, "nearest": "A"}, "similarity 0.00 with A, who is the nearest: not enough for the name"),
        ({"name": "Ada", "nearest": "Ada", "similarity": 0.5}, "similarity 0.50"),
        ({"name": "A", "nearest": "A", "similarity": 0.5, "confidence": 0.876}, "similarity 0.50, confidence 88%"),
        ({"name": "A", "nearest": "A", "similarity": 0.5, "confidence": 0.994}, "similarity 0.50, confidence 99%"),
        ({"name": "A", "nearest": "A", "similarity": 1.0, "confidence": 0.996}, "similarity 1.00, confidence over 99%"),
    ],
)
def test_figures_say_how_sure_an_answer_is(answer: dict[str, Any], said: str) -> None:
    assert figures(face(**answer)) == said


def test_people_are_found_by_words_of_their_names() -> None:
    people = [Person(name, ()) for name in ("Ada Lovelace", "Grace Hopper", "Ada Yonath", "İpek")]
    found = {
        sought: [person.name for person in find_people(people, sought)]
        for sought in ("", " ", "ada", "love ADA", "İPEK", "x")
    }
    assert found[""] == found[" "] == [person.name for person in people]
    assert found["ada"] == ["Ada Lovelace", "Ada Yonath"]
    assert (found["love ADA"], found["İPEK"], found["x"]) == (["Ada Lovelace"], ["İpek"], [])
