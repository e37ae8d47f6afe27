from typing import Any

import pytest

from helpers.page_faces import make_identified
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.gallery import Enrollment
from onelook.page.wording import (
    describe_confidence,
    describe_enrollment,
    describe_similarity,
    describe_unrecognized,
    suggested_name,
    summarize,
)


@pytest.mark.parametrize(
    ("names", "unrecognized", "line"),
    [
        ([], 0, "No face found"),
        ([], 1, "Not recognized"),
        ([], 18, "18 faces, none recognized"),
        (["Ada"], 0, "Ada"),
        (["Ada", "Grace"], 16, "Ada, Grace and 16 not recognized"),
        (["Ada", "Ada"], 1, "Ada and 1 not recognized"),
        (["A", "B", "C", "D"], 0, "A, B, C and D"),
        (["A", "B", "C", "D", "E"], 0, "A, B, C and 2 others"),
        (["A", "B", "C", "D", "E", "F"], 2, "A, B, C, 3 others and 2 not recognized"),
    ],
)
def test_summarize_says_in_one_line_who_is_recognized(names: list[str], unrecognized: int, line: str) -> None:
    assert summarize(names, unrecognized) == line


@pytest.mark.parametrize(
    ("confidence", "text"), [(None, "recognized"), (0.876, "88% sure"), (0.994, "99% sure"), (0.996, "over 99% sure")]
)
def test_confidence_never_claims_certainty(confidence: float | None, text: str) -> None:
    assert describe_confidence(make_identified(name="Ada", similarity=0.5, confidence=confidence)) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Not recognized"),
        ({"similarity": 0.06, "nearest": "Grace"}, "Not recognized"),
        ({"reason": "22 px, blurred"}, "Not sure: the face is small and blurred"),
        ({"reason": "22 px, blurred, in profile"}, "Not sure: the face is small, blurred and turned away"),
        ({"reason": "in profile, young face"}, "Not sure: the face is turned away"),
        ({"reason": "young face"}, "Not sure: faces of children are hard to tell apart"),
        ({"rejected": True, "nearest": "Grace"}, "Not Grace, as you said"),
    ],
)
def test_an_unrecognized_face_is_described_without_numbers(changes: dict[str, Any], text: str) -> None:
    assert describe_unrecognized(make_identified(**changes)) == text


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"confidence": 0.6}, "Ada"),
        ({"confidence": 0.4}, None),
        ({"confidence": None}, None),
        ({"confidence": 0.9, "name": "Ada"}, None),
        ({"confidence": 0.9, "rejected": True}, None),
    ],
)
def test_only_a_likely_person_is_suggested(changes: dict[str, Any], name: str | None) -> None:
    assert suggested_name(make_identified(**({"nearest": "Ada", "similarity": 0.4} | changes))) == name


def test_similarity_has_no_negative_zero() -> None:
    assert describe_similarity(make_identified(name="Ada", similarity=-0.001)) == "similarity 0.00"


def test_describe_enrollment_tells_warnings_and_duplicates() -> None:
    pair = DuplicatePair("Ada", "Countess", 0.7)
    assert describe_enrollment(Enrollment("Ada", 1, 0, 2, (), ())) == "Ada has 2 pictures now"
    assert describe_enrollment(Enrollment("Ada", 0, 1, 2, (), ())) == "Ada has this picture already"
    text = describe_enrollment(Enrollment("Ada", 1, 0, 1, ("a.jpg: 35 px",), (pair,)))
    assert text.startswith("Ada has 1 picture now. a.jpg: 35 px: hard to recognize")
    assert "Ada and Countess look alike" in text
