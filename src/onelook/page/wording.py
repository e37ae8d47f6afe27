"""Sentences of the page about faces, photos and changes."""

from collections.abc import Sequence

from onelook.erasure.finding import Finding
from onelook.gallery.gallery import Enrollment
from onelook.gallery.identification import IdentifiedFace
from onelook.names import escape_unprintable

_SUGGESTED_CONFIDENCE = 0.5
"""Confidence from which the page asks whether an unrecognized face is its nearest person."""
_CERTAIN = 0.995
_REASONS = {"blurred": "blurred", "in profile": "turned away"}
_YOUNG = "young face"


def pluralize(count: int, noun: str, plural: str | None = None) -> str:
    """Return the count with the noun, as in "1 photo" and "2 photos"."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def summarize(names: Sequence[str], unrecognized: int, max_names: int = 4) -> str:
    """Say in one line who is recognized, as in "Ada, Grace and 16 not recognized".

    Args:
        names: names of the recognized faces.
        unrecognized: number of the other faces.
        max_names: more names are counted as "others".
    """
    distinct = list(dict.fromkeys(names))
    if not distinct:
        return {0: "No face found", 1: "Not recognized"}.get(unrecognized, f"{unrecognized} faces, none recognized")
    parts = distinct if len(distinct) <= max_names else distinct[: max_names - 1]
    if len(parts) < len(distinct):
        parts = [*parts, pluralize(len(distinct) - len(parts), "other")]
    return join_words([*parts, f"{unrecognized} not recognized"] if unrecognized else parts)


def join_words(words: Sequence[str]) -> str:
    """Join words as in "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def is_certain(face: IdentifiedFace) -> bool:
    """Return whether the confidence of a name is as high as the calibration supports: over 99 %."""
    return face.confidence is not None and face.confidence >= _CERTAIN


def describe_confidence(face: IdentifiedFace) -> str:
    """Say how sure the name of a face is, where that was calibrated."""
    if face.confidence is None:
        return "recognized"
    return "over 99% sure" if is_certain(face) else f"{face.confidence:.0%} sure"


def describe_similarity(face: IdentifiedFace) -> str:
    """Return the similarity of a named face, for a tooltip."""
    return f"similarity {face.similarity:z.2f}"


def describe_unrecognized(face: IdentifiedFace) -> str:
    """Say why a face without a name has none."""
    if face.rejected:
        return f"Not {face.nearest}, as you said"
    if face.reason is None:
        return "Not recognized"
    reasons = face.reason.split(", ")
    words = ["small" if each.endswith(" px") else _REASONS.get(each, each) for each in reasons if each != _YOUNG]
    if not words:
        return "Not sure: faces of children are hard to tell apart"
    return f"Not sure: the face is {join_words(words)}"


def suggested_name(face: IdentifiedFace) -> str | None:
    """Return the person that an unrecognized face may well be; None: nobody."""
    is_likely = face.confidence is not None and face.confidence >= _SUGGESTED_CONFIDENCE
    return face.nearest if face.name is None and is_likely and not face.rejected else None


def describe_forgetting(name: str, remainders: Sequence[Finding]) -> str:
    """Say that a person is forgotten, which copies still hold the person, and what removes the person there."""
    places = join_words([f"{each.content} {escape_unprintable(each.path.name)}" for each in remainders])
    advice = dict.fromkeys(escape_unprintable(each.advice) for each in remainders if each.advice is not None)
    return ". ".join([f"{name} is forgotten here. These copies still hold {name}: {places}", *advice])


def describe_enrollment(enrollment: Enrollment) -> str:
    """Describe an enrollment, its warnings and possible duplicates."""
    if not enrollment.added:
        return f"{enrollment.name} has this picture already"
    sentences = [f"{enrollment.name} has {pluralize(enrollment.total, 'picture')} now"]
    sentences += [f"{warning}: hard to recognize, add a better photo" for warning in enrollment.warnings]
    sentences += [
        f"{pair.name} and {pair.other} look alike; if they are one person, merge them on the page of {pair.name}"
        for pair in enrollment.duplicates
    ]
    return ". ".join(sentences)
