"""Find names that differ a little, as by a typing error, an accent or a capital letter."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

MIN_LENGTH = 5
"""Letters and digits of the shorter name from which one wrong letter is a little: Ann and Dan are two names."""


def find_similar_names(names: Iterable[str], others: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Find the pairs of a name and another one that differ a little.

    Capital letters, accents, blanks and punctuation do not count. Of the rest, one letter may be wrong, missing or
    additional, or two neighbors exchanged. Digits must be equal: "person 1" and "person 2" are two people.

    Args:
        names: the names to compare.
        others: the names to compare them with.

    Returns:
        Sorted pairs of a name and another one; of two of the names, the pair is there once.
    """
    variants_of = {other: _variants(other) for other in set(others)}
    by_variant: dict[str, list[str]] = defaultdict(list)
    for other, variants in variants_of.items():
        for variant in variants:
            by_variant[variant].append(other)
    asked = set(names)
    pairs = set()
    for name in asked:
        for variant in _variants(name):
            for other in by_variant.get(variant, []):
                if other != name and _digits(other) == _digits(name):
                    pairs.add((name, other) if other not in asked or name < other else (other, name))
    return tuple(sorted(pairs))


def _variants(name: str) -> set[str]:
    """Return the letters and digits of a name, and those with one of them left out.

    Two names share a variant if and only if they differ by one substitution, insertion, deletion or exchange of
    neighbors, or by less.
    """
    key = _key(name)
    if len(key) < MIN_LENGTH:
        return {key}
    return {key, *(key[:i] + key[i + 1 :] for i in range(len(key)))}


def _key(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    # Composed again, because a syllable of Hangul is one letter here.
    return unicodedata.normalize("NFC", "".join(character for character in decomposed if character.isalnum()))


def _digits(name: str) -> str:
    return "".join(character for character in name if character.isdigit())
