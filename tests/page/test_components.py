from typing import Any

import numpy as np
import pytest

pytest.importorskip("nicegui", reason="the page needs NiceGUI (onelook[page])")

from onelook.face_quality import Quality
from onelook.gallery.identification import IdentifiedFace
from onelook.page.components import box_style, describe_match, filter_people
from onelook.page.controller import Person


def make_face(**changes: Any) -> IdentifiedFace:
    unknown = {"name": None, "similarity": None, "nearest": None}
    return IdentifiedFace(
        box=np.zeros(4),
        landmarks=np.zeros((5, 2)),
        score=0.9,
        embedding=np.zeros(4),
        quality=Quality(score=0.9, size=100, sharpness=1, profile=0),
        **(unknown | changes),
    )


def test_box_style_is_in_percent_and_clipped_to_the_photo() -> None:
    assert box_style(np.asarray([20.0, 10.0, 60.0, 40.0]), 200, 100) == (10, 10, 20, 30)
    assert box_style(np.asarray([-50.0, 50.0, 250.0, 150.0]), 200, 100) == (0, 50, 100, 50)


@pytest.mark.parametrize(
    ("match", "text"),
    [
        ({}, "nobody is enrolled to compare with"),
        (
            {"similarity": 0.204, "nearest": "Ada"},
            "similarity 0.20 with Ada, the nearest person: below the threshold",
        ),
        (
            {"similarity": 0.4, "nearest": "Ada", "reason": "22 px, blurred"},
            "similarity 0.40 with Ada, the nearest person: too little to tell (22 px, blurred)",
        ),
        ({"similarity": -0.001, "nearest": "A"}, "similarity 0.00 with A, the nearest person: below the threshold"),
        ({"name": "Ada", "nearest": "Ada", "similarity": 0.5}, "similarity 0.50"),
        ({"name": "A", "nearest": "A", "similarity": 0.5, "confidence": 0.876}, "similarity 0.50, confidence 88%"),
        ({"name": "A", "nearest": "A", "similarity": 0.5, "confidence": 0.994}, "similarity 0.50, confidence 99%"),
        ({"name": "A", "nearest": "A", "similarity": 1.0, "confidence": 0.996}, "similarity 1.00, confidence over 99%"),
    ],
)
def test_describe_match_gives_similarity_and_confidence(match: dict[str, Any], text: str) -> None:
    assert describe_match(make_face(**match)) == text


def test_filter_people_matches_every_word_of_the_query() -> None:
    people = [Person(name, ()) for name in ("Ada Lovelace", "Grace Hopper", "Ada Yonath", "İpek")]
    matches = {
        query: [person.name for person in filter_people(people, query)]
        for query in ("", " ", "ada", "love ADA", "İPEK", "x")
    }
    assert matches[""] == matches[" "] == [person.name for person in people]
    assert matches["ada"] == ["Ada Lovelace", "Ada Yonath"]
    assert (matches["love ADA"], matches["İPEK"], matches["x"]) == (["Ada Lovelace"], ["İpek"], [])
