import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.errors import GalleryError
from onelook.names import normalize_name

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u3164\u115f\uffa0\u034f\ufe0f\U000e0101\u180e\u00ad\u202e"


@pytest.mark.parametrize(
    ("name", "normalized"),
    [
        ("山田\u3000太郎", "山田 太郎"),
        ("Marie\u00a0Curie", "Marie Curie"),
        ("  Ada \u2009 Lovelace\u2003", "Ada Lovelace"),
        ("C\u0327ag\u0306la", "Çağla"),
        ("علی\u200cرضا", "علی\u200cرضا"),  # without the joiner the letters would join
        ("श्\u200dया", "श्\u200dया"),  # after a virama
    ],
)
def test_spaces_become_blanks_and_joiners_that_shape_a_word_stay(name: str, normalized: str) -> None:
    assert normalize_name(name) == normalized


@pytest.mark.parametrize("character", INVISIBLE)
@pytest.mark.parametrize("template", ["{}", "Ada{}", "{}Ada", "unk{}nown", "A{}da L"])
def test_names_with_a_character_that_nobody_sees_are_refused(template: str, character: str) -> None:
    with pytest.raises(GalleryError) as caught:
        normalize_name(template.format(character))
    assert str(caught.value).isprintable() and character not in str(caught.value)


@given(st.text(max_size=30))
def test_a_normalized_name_is_its_own_and_one_printable_line(text: str) -> None:
    try:
        name = normalize_name(text)
    except GalleryError as error:
        assert str(error).isprintable()
        return
    assert normalize_name(name) == name == unicodedata.normalize("NFC", name)
    assert name == " ".join(name.split(" ")) and "  " not in name and name.strip() == name
