"""Names that differ a little."""

import pytest

from onelook.gallery.similar_names import find_similar_names


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Ada Lovelace", "ada  lovelace"),
        ("Çağla Işık", "Cagla Isık"),
        ("Jean-Luc", "Jean Luc"),
        ("Ada Lovelace", "Ada Lovelase"),
        ("Ada Lovelace", "Ada Lovelacee"),
        ("Ada Lovelace", "Ada Lovleace"),
        ("Müller", "Muller"),
        ("김민수", "김 민수"),
    ],
)
def test_a_little_difference_is_found(name: str, other: str) -> None:
    assert find_similar_names([name], [other, "Grace Hopper"]) == ((name, other),)


@pytest.mark.parametrize(
    ("name", "other"),
    [("Ann", "Dan"), ("person 12", "person 13"), ("Ada Lovelace", "Ada Byron"), ("Ada", "Ada"), ("김민수", "김민주")],
)
def test_other_names_are_not(name: str, other: str) -> None:
    assert find_similar_names([name], [other]) == ()


def test_a_pair_is_reported_once() -> None:
    names = ["Grace Hopper", "Grace Hoper"]
    assert find_similar_names(names, names) == (("Grace Hoper", "Grace Hopper"),)
