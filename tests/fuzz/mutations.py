"""Hypothesis strategies that damage files with knowledge of their structure."""

import copy
import json
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", "x" * 5000, "a\0b", "\ud800", "../../../etc/passwd", "/etc/passwd", "line\nline", "1e999", "é" * 40),
    *([], {}, [[]], [None] * 5, {"a": 1}, [[1, 2], [3]], ["x"]),
)
ODD_WORDS = (
    *("nan", "-inf", "1e999", "9" * 400, "9" * 5000, "-1", "0", "1e30", "x" * 3000, "../../../etc/passwd"),
    *("", "\0", "\ufeff", "\udc80", '"', "#", "*a", "&a", "!!python/name:os.system", "2001-13-45", "[" * 3000, "{"),
)
_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000)


# Copies, as a list that one input holds is damaged further.
_odd_values = st.sampled_from(ODD_VALUES).map(copy.deepcopy)


@st.composite
def damaged_bytes(draw: st.DrawFn, seeds: Sequence[bytes], most: int = 6) -> bytes:
    """Draw a file with flipped, overwritten, removed, repeated or inserted bytes."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, most))):
        if not data:
            break
        # Headers are where most of a file's structure is.
        end = draw(st.sampled_from((len(data), min(len(data), 64), min(len(data), 512))))
        place = draw(st.integers(0, end - 1))
        match draw(st.sampled_from(("flip", "byte", "number", "cut", "remove", "repeat", "insert"))):
            case "flip":
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "byte":
                data[place] = draw(st.integers(0, 255))
            case "number":
                form = draw(st.sampled_from(("<I", ">I", "<H", ">H")))
                size = struct.calcsize(form)
                data[place : place + size] = struct.pack(form, draw(st.sampled_from(_NUMBERS)) % 256**size)
            case "cut":
                del data[place:]
            case "remove":
                del data[place : place + draw(st.integers(1, 64))]
            case "repeat":
                data[place:place] = data[place : place + draw(st.integers(1, 64))] * draw(st.integers(1, 20))
            case "insert":
                data[place:place] = draw(st.binary(max_size=32))
    return bytes(data)


@st.composite
def damaged_tree(draw: st.DrawFn, trees: Sequence[Any]) -> Any:
    """Draw a JSON value in which some values are replaced, removed or added."""
    tree = json.loads(json.dumps(draw(st.sampled_from(trees))))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            return draw(_odd_values)
        parent, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(("replace", "replace", "remove", "add", "deepen"))):
            case "replace":
                parent[key] = draw(_odd_values)
            case "remove":
                del parent[key]
            case "add" if isinstance(parent, dict):
                parent[draw(st.sampled_from(("odd", "", "x" * 300, "\n")))] = draw(_odd_values)
            case "deepen":
                # Three times 200 levels: the encoder of JSON must not reach the limit of Python's stack itself.
                for _ in range(draw(st.sampled_from((1, 70, 200)))):
                    parent[key] = [parent[key]]
            case _:
                parent.append(draw(_odd_values))
    return tree


def _places(tree: Any) -> Any:
    """Yield each list or object of a tree with each of its keys."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def dump(tree: Any) -> bytes:
    """Write a JSON value with what JSON does not permit: NaN, and half a surrogate pair as an escape."""
    return json.dumps(tree).encode()


def damaged_json(trees: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Draw a JSON document that is odd, or no JSON any more."""
    return damaged_tree(trees).map(dump) | damaged_bytes([dump(tree) for tree in trees])


@st.composite
def damaged_text(draw: st.DrawFn, texts: Sequence[str]) -> bytes:
    """Draw a text file with removed, repeated and swapped lines and odd words."""
    lines = draw(st.sampled_from(texts)).split("\n")
    for _ in range(draw(st.integers(1, 4))):
        if not lines:
            break
        number = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(("word", "word", "remove", "repeat", "swap", "cut"))):
            case "word":
                separator = "," if "," in lines[number] else " "
                words = lines[number].split(separator)
                words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(ODD_WORDS))
                lines[number] = separator.join(words)
            case "remove":
                del lines[number]
            case "repeat":
                lines[number:number] = [lines[number]] * draw(st.integers(1, 50))
            case "swap":
                lines[number], lines[0] = lines[0], lines[number]
            case "cut":
                lines[number] = lines[number][: draw(st.integers(0, len(lines[number])))]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def damaged_lines(texts: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Draw a text file that is damaged by lines and words, or by bytes."""
    return damaged_text(texts) | damaged_bytes([text.encode() for text in texts])
