"""The index of people in memory, after changes, against one that is built anew."""

import numpy as np
import pytest

from onelook.face_templates import make_person_templates
from onelook.gallery import people_index
from onelook.gallery.face_rows import FaceArrays
from onelook.gallery.faiss_index import TemplateIndex
from onelook.gallery.people_index import PeopleIndex

SIZE = 8


def draw(rng: np.random.Generator, ids: list[int], people: list[str]) -> FaceArrays:
    rows = rng.normal(size=(len(ids), SIZE)) + 0.3
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return FaceArrays(ids, people, rng.uniform(0.1, 1, len(ids)), rows.astype(np.float32), [7 * i for i in ids])


def join(parts: dict[str, FaceArrays]) -> FaceArrays:
    def flat(name: str) -> list:
        return [value for part in parts.values() for value in getattr(part, name)]

    rows = np.asarray(flat("embeddings"), np.float32).reshape(-1, SIZE)
    return FaceArrays(flat("ids"), flat("people"), np.asarray(flat("weights")), rows, flat("digests"))


@pytest.mark.parametrize("max_stale", [3, 64])  # the index is built anew at some changes, or never
def test_changes_give_the_results_of_a_new_index(monkeypatch: pytest.MonkeyPatch, max_stale: int) -> None:
    monkeypatch.setattr(people_index, "_MAX_STALE", max_stale)
    rng = np.random.default_rng(5)
    parts = {name: draw(rng, [2 * i, 2 * i + 1], [name] * 2) for i, name in enumerate("abcdef")}
    index = PeopleIndex(join(parts))
    probes = draw(rng, list(range(9)), ["?"] * 9).embeddings
    next_id = 100
    for step in range(30):
        names = [str(name) for name in rng.choice(list("abcdefghij"), 2, replace=False)]
        changed = {}
        for name in names:
            count = int(rng.integers(0, 3)) if step else 0
            parts.pop(name, None)
            if count:
                changed[name] = draw(rng, list(range(next_id, next_id + count)), [name] * count)
            next_id += count
        parts |= changed
        index.update(names, join(changed))
        whole = join(parts)
        fresh = TemplateIndex(whole.embeddings, whole.people, whole.weights)
        expected, found = fresh.search(probes), index.view().search(probes)
        np.testing.assert_allclose(found.ranking.similarities, expected.similarities, atol=1e-6)
        for mine, other in zip(found.ranking.indices, expected.indices, strict=True):
            assert [found.names[i] for i in mine if i >= 0] == [fresh.names[i] for i in other if i >= 0]
        moments = fresh.moments.of_others(probes, expected.similarities[:, 0])
        np.testing.assert_allclose(found.others.mean, moments.mean, atol=1e-6)
        np.testing.assert_allclose(found.others.variance, moments.variance, atol=1e-6)
        assert index.photo_counts() == {name: whole.people.count(name) for name in sorted(parts)}
        assert index.content_counts == (len(whole.ids), len(parts), sum(whole.digests))
        assert {face: index.person_of(face) for face in whole.ids} == dict(zip(whole.ids, whole.people, strict=True))


def test_templates_are_those_of_make_person_templates() -> None:
    arrays = draw(np.random.default_rng(0), list(range(40)), [f"p{i % 7}" for i in range(40)])
    names, templates = make_person_templates(arrays.embeddings, arrays.people, arrays.weights)
    own_names, own = people_index.make_templates(arrays)
    assert own_names == names
    np.testing.assert_allclose(own, templates, atol=1e-7)
