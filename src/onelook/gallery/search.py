"""Who a face is most like: one template a person, searched exactly by inner product."""

from collections.abc import Sequence

import faiss
import numpy as np


def templates(embeddings: np.ndarray, owners: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The template of each person: the mean of the person's embeddings, brought back to length 1.

    Args:
        embeddings: (n, d) float32, L2-normalised rows.
        owners: n names, whose row each is.

    Returns:
        The names, sorted, and (people, d) float32, a row each.
    """
    names = sorted(set(owners))
    position = {name: place for place, name in enumerate(names)}
    sums = np.zeros((len(names), embeddings.shape[1]))
    # Summed in double precision: the template of one photo is then that photo's embedding to the last bit but one.
    np.add.at(sums, [position[owner] for owner in owners], embeddings.astype(np.float64))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return names, (sums / np.maximum(lengths, 1e-12)).astype(np.float32)


class TemplateIndex:
    """An exact FAISS index over the templates of the enrolled people."""

    def __init__(self, embeddings: np.ndarray, owners: Sequence[str]) -> None:
        """Take the enrolled rows (n, d) float32 and whose each is."""
        self.names, rows = templates(embeddings, owners)
        self._index = faiss.IndexFlatIP(embeddings.shape[1])
        self._index.add(rows)

    def best(self, probes: np.ndarray) -> list[tuple[str, float]]:
        """The name and similarity of the most similar person, for every probe (m, d) float32; somebody is enrolled."""
        similarities, places = self._index.search(np.ascontiguousarray(probes, np.float32), 1)
        return [
            (self.names[place], float(value)) for place, value in zip(places[:, 0], similarities[:, 0], strict=True)
        ]
