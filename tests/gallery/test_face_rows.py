"""Tests of the arrays that are parsed from rows of the table of faces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from onelook.face_quality import Quality
from onelook.gallery.data import EnrolledFace
from onelook.gallery.face_rows import FaceRow, make_row, parse_arrays

positive = st.floats(0, 1e6)
qualities = st.none() | st.builds(
    Quality, score=st.floats(0, 1), size=positive, sharpness=positive, profile=st.none() | positive
)


def make_rows(qualities: list[Quality | None]) -> list[FaceRow]:
    return [
        make_row(i, EnrolledFace(person="Ann", photo="a.jpg", sha256="0" * 64, quality=quality), np.array([1.0, 0.0]))
        for i, quality in enumerate(qualities)
    ]


@given(st.lists(qualities, max_size=20))
def test_weights_are_to_the_last_bit_those_of_each_quality(qualities: list[Quality | None]) -> None:
    weights = parse_arrays(make_rows(qualities), 2).weights
    assert weights.tolist() == [1.0 if quality is None else quality.weight for quality in qualities]


@pytest.mark.parametrize(
    ("column", "value"),
    [(4, 1.5), (4, -0.1), (5, -1.0), (6, float("inf")), (7, -1.0), (5, "60"), (4, b"1"), (6, 1e999)],
)
def test_a_row_with_an_impossible_quality_is_refused(column: int, value: object) -> None:
    rows = make_rows([Quality(score=0.5, size=60, sharpness=1, profile=0.1)] * 3)
    rows[1] = (*rows[1][:column], value, *rows[1][column + 1 :])  # type: ignore[assignment]
    with pytest.raises(ValidationError):
        parse_arrays(rows, 2)


def test_a_face_without_one_of_the_measures_has_the_full_weight() -> None:
    row = make_rows([Quality(score=0.5, size=60, sharpness=1)])[0]
    assert parse_arrays([(*row[:5], None, *row[6:])], 2).weights.tolist() == [1.0]
