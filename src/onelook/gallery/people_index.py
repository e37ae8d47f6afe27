"""Index of the people of a gallery in memory, which changes person by person.

The FAISS index is built at the first search, and changes do not touch it. The people who changed since are left out of
its answers and compared one by one, until they are so many that the index is built anew.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from onelook.face_templates import normalize_sums
from onelook.gallery.backend import SearchResult
from onelook.gallery.duplicates import DuplicatePair, find_duplicates
from onelook.gallery.face_rows import DIGEST_MODULUS, FaceArrays
from onelook.gallery.faiss_index import IndexKind, TemplateIndex, select_index
from onelook.gallery.faiss_library import count_gpus
from onelook.gallery.ranking import Ranking
from onelook.gallery.template_moments import TemplateMoments

# People of the index who may have changed: each is a candidate more in every search.
_MAX_STALE = 64
# People who may be compared one by one: this number, or this fraction of the gallery.
_MAX_FRESH, _FRESH_DIVISOR = 1024, 50
_BLOCK_SIZE = 4096


@dataclass(slots=True)
class _Person:
    """A person: the row of the template, the numbers of the faces, and the sum of the digests of their rows."""

    slot: int
    faces: list[int]
    digest: int


@dataclass(frozen=True, eq=False)
class PeopleView:
    """The people of a gallery at one moment.

    Attributes:
        index: over the people when it was built.
        stale: (s,) positions in the index of people who changed since.
        fresh_names: the f people who changed since and are still enrolled.
        fresh: (f, d) float32, their templates.
        moments: of the present templates.
    """

    index: TemplateIndex
    stale: np.ndarray
    fresh_names: list[str]
    fresh: np.ndarray
    moments: TemplateMoments

    def search(self, probes: np.ndarray) -> SearchResult:
        """Find the two most similar people of every probe (m, d) float32."""
        ranking = self.index.search(probes, 2 + len(self.stale))
        names = self.index.names
        if len(self.stale) or self.fresh_names:
            ranking, names = self._merge(ranking, probes), names + self.fresh_names
        others = self.moments.of_others(probes, ranking.similarities[:, 0])
        return SearchResult(ranking, names, self.moments.people_count, others)

    def _merge(self, ranking: Ranking, probes: np.ndarray) -> Ranking:
        """Leave the stale people out of a ranking, and add the fresh ones after those of the index."""
        is_stale = np.isin(ranking.indices, self.stale)
        positions = len(self.index.names) + np.arange(len(self.fresh))
        indices = np.hstack(
            [np.where(is_stale, -1, ranking.indices), np.broadcast_to(positions, (len(probes), len(positions)))]
        )
        similarities = np.hstack([np.where(is_stale, -np.inf, ranking.similarities), probes @ self.fresh.T])
        best = np.argsort(-similarities, axis=1, kind="stable")[:, :2]
        return Ranking(
            np.take_along_axis(indices, best, axis=1),
            np.take_along_axis(similarities, best, axis=1).astype(np.float32, copy=False),
        )


class PeopleIndex:
    """The people of a gallery with their templates and faces."""

    def __init__(self, arrays: FaceArrays) -> None:
        """Compute the templates of all people."""
        self._people: dict[str, _Person] = {}
        self._person_of: dict[int, str] = {}
        self._names: list[str | None] = []  # of the slots; None: nobody's
        self._templates = np.empty((0, arrays.embeddings.shape[1]), np.float32)
        self._digest = 0
        self._index: TemplateIndex | None = None
        # Slots that changed since the index was built, with the template in the index; None: it has no such slot.
        self._changed: dict[int, np.ndarray | None] = {}
        self._view: PeopleView | None = None
        self.update((), arrays)

    @property
    def people_count(self) -> int:
        """Return the number of people."""
        return len(self._people)

    @property
    def index_kind(self) -> IndexKind:
        """Return the kind of the index, before the first search the one that the number of people selects."""
        return select_index(self.people_count, count_gpus()) if self._index is None else self._index.kind

    @property
    def content_counts(self) -> tuple[int, int, int]:
        """Return the number of faces, the number of people, and the sum of the digests of all rows."""
        return len(self._person_of), len(self._people), self._digest % DIGEST_MODULUS

    def photo_counts(self, names: Iterable[str] | None = None) -> dict[str, int]:
        """Return the number of faces of these people, without those who are not enrolled; None: of all, sorted."""
        chosen = sorted(self._people) if names is None else names
        return {name: len(self._people[name].faces) for name in chosen if name in self._people}

    def person_of(self, face: int) -> str | None:
        """Return the person of a face by its number; None: nobody."""
        return self._person_of.get(face)

    def update(self, people: Collection[str], arrays: FaceArrays) -> None:
        """Replace all faces of some people.

        Args:
            people: the people.
            arrays: all their present faces, and those of new people.
        """
        removed = {name: self._people.pop(name) for name in people if name in self._people}
        for person in removed.values():
            self._digest -= person.digest
            for face in person.faces:
                del self._person_of[face]
        names, templates = make_templates(arrays)
        slots = [removed[name].slot if name in removed else self._add_slot() for name in names]
        freed = [person.slot for name, person in removed.items() if name not in set(names)]
        self._remember_indexed([*slots, *freed])
        for slot in freed:
            self._names[slot] = None
            self._templates[slot] = 0
        self._templates[slots] = templates
        for name, slot in zip(names, slots, strict=True):
            self._names[slot] = name
            self._people[name] = _Person(slot, [], 0)
        for face, name, digest in zip(arrays.ids, arrays.people, arrays.digests, strict=True):
            self._people[name].faces.append(face)
            self._people[name].digest += digest
            self._person_of[face] = name
        self._digest += sum(arrays.digests)
        self._view = None

    def _add_slot(self) -> int:
        if len(self._names) == len(self._templates):
            more = np.zeros((max(16, len(self._templates) // 8), self._templates.shape[1]), np.float32)
            self._templates = np.concatenate([self._templates, more])
        self._names.append(None)
        return len(self._names) - 1

    def _remember_indexed(self, slots: Iterable[int]) -> None:
        """Keep the templates that the index has of slots that change."""
        if self._index is not None:
            count = len(self._index.names)
            for slot in slots:
                self._changed.setdefault(slot, self._templates[slot].copy() if slot < count else None)

    def find_duplicates(self, names: Iterable[str], threshold: float) -> tuple[DuplicatePair, ...]:
        """Find people whose templates match those of the given people; see `duplicates.find_duplicates`."""
        return find_duplicates(self._names, self._templates[: len(self._names)], threshold, names)

    def view(self) -> "PeopleView":
        """Return the present people to search; later changes do not affect it."""
        if self._view is None:
            fresh = [slot for slot in self._changed if self._names[slot] is not None]
            stale = [slot for slot, template in self._changed.items() if template is not None]
            max_fresh = max(_MAX_FRESH, len(self._people) // _FRESH_DIVISOR)
            if self._index is None or len(stale) > _MAX_STALE or len(fresh) > max_fresh:
                self._build_index()
                fresh, stale = [], []
            assert self._index is not None
            indexed = [template for template in self._changed.values() if template is not None]
            size = self._templates.shape[1]
            self._view = PeopleView(
                self._index,
                np.asarray(stale, np.int64),
                [name for slot in fresh if (name := self._names[slot]) is not None],
                self._templates[fresh],
                self._index.moments.replaced(np.asarray(indexed, np.float32).reshape(-1, size), self._templates[fresh]),
            )
        return self._view

    def _build_index(self) -> None:
        names = sorted(self._people)
        self._templates = self._templates[[self._people[name].slot for name in names]]
        self._names = list(names)
        for slot, name in enumerate(names):
            self._people[name].slot = slot
        self._index = TemplateIndex.from_templates(names, self._templates)
        self._changed = {}


def make_templates(arrays: FaceArrays) -> tuple[list[str], np.ndarray]:
    """Compute the templates of people as `face_templates.make_person_templates` does, faster for many people."""
    names = sorted(set(arrays.people))
    if not names:
        return names, np.empty((0, arrays.embeddings.shape[1]), np.float32)
    groups = np.searchsorted(np.asarray(names, object), np.asarray(arrays.people, object))
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(len(names)))
    templates = np.empty((len(names), arrays.embeddings.shape[1]), np.float32)
    for first in range(0, len(names), _BLOCK_SIZE):  # a block of the float64 sums at a time
        bounds = starts[first : first + _BLOCK_SIZE]
        last = starts[first + _BLOCK_SIZE] if first + _BLOCK_SIZE < len(names) else len(order)
        rows = order[bounds[0] : last]
        weighted = arrays.embeddings[rows].astype(np.float64) * arrays.weights[rows, None]
        templates[first : first + _BLOCK_SIZE] = normalize_sums(np.add.reduceat(weighted, bounds - bounds[0]))
    return names, templates
