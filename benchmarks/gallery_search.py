"""Time template search and measure its recall among many people.

Against raw FAISS, in one run.

    python benchmarks/gallery_search.py [--people 1000000]

Templates: random unit vectors of 128 numbers in families of fifty, relatives at a cosine of about 0.5. Probes are
templates with noise, at 0.83. Peers: FAISS's flat index, its HNSW graph (up to 100,000 people, as building it takes
long), and the raw call on our inverted lists. A million people need 4 GB. Prints a Markdown table; times are medians of
rounds that take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from onelook.gallery.faiss_index import MAX_FLAT_SIZE, TemplateIndex, build_flat_index, build_ivf_index

SIZE, FAMILY, NOISE = 128, 50, 0.06
PROBES, ROUNDS = 1000, 5
MOST_GRAPH = 100_000
NEIGHBORS, WIDE = 32, 64
RAW = 16  # candidates of the raw lists, as many as ours compares again


def main() -> None:
    """Build, search and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    people = parser.parse_args().people
    rng = np.random.default_rng(0)
    rows = synthetic_templates(people, rng)
    probes = rows[rng.integers(people, size=PROBES)] + NOISE * rng.standard_normal((PROBES, SIZE), np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    flat, flat_built = timed(lambda: build_flat_index(rows))
    names = [f"{number:08d}" for number in range(people)]
    ours, ours_built = timed(lambda: TemplateIndex(rows, names))
    lists, lists_built = timed(lambda: build_ivf_index(rows))
    searches: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "FAISS flat": lambda asked: flat.search(asked, 2)[1],
        "FAISS lists, raw": lambda asked: lists.search(asked, RAW)[1],
        "onelook": lambda asked: ours.search(asked).indices,
    }
    built = {"FAISS flat": flat_built, "FAISS lists, raw": lists_built, "onelook": ours_built}
    sizes = {"FAISS flat": rows.nbytes, "FAISS lists, raw": memory(lists), "onelook": rows.nbytes}
    sizes["onelook"] += memory(lists) if people >= MAX_FLAT_SIZE else 0
    if people <= MOST_GRAPH:
        graph, built["FAISS HNSW"] = timed(lambda: graph_index(rows))
        searches["FAISS HNSW"] = lambda asked: graph.search(asked, 2)[1]
        sizes["FAISS HNSW"] = memory(graph)
    exact = searches["FAISS flat"](probes)[:, 0]
    batches = rounds(searches, lambda search: search(probes))
    singles = rounds(searches, lambda search: [search(probes[row : row + 1]) for row in range(20)])
    print(f"| {people:,} people | built, s | MB | 1,000 probes, ms | × flat | one probe, ms | × flat | recall@1 |")
    print("|---|---|---|---|---|---|---|---|")
    for name, search in searches.items():
        recall = float((search(probes)[:, 0] == exact).mean())
        batch, single = batches[name], singles[name] / 20
        times = f"{batch:.1f} | {batches['FAISS flat'] / batch:.1f} | {single:.2f} | "
        times += f"{singles['FAISS flat'] / 20 / single:.1f}"
        told = f"**{name}**" if name == "onelook" else name
        print(f"| {told} | {built[name]:.1f} | {sizes[name] / 1e6:.0f} | {times} | {recall:.4f} |")
    raw = "FAISS flat" if people < MAX_FLAT_SIZE else "FAISS lists, raw"
    print(f"\nOur layer over the raw call ({raw}), 1,000 probes: {batches['onelook'] / batches[raw] - 1:+.1%}")


def synthetic_templates(people: int, rng: np.random.Generator) -> np.ndarray:
    """Return templates (people, SIZE) float32 in families."""
    families = rng.standard_normal((people // FAMILY + 1, SIZE), np.float32)
    rows = families[rng.integers(len(families), size=people)]
    rows += rng.standard_normal((people, SIZE), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def graph_index(rows: np.ndarray) -> faiss.Index:
    """Return FAISS's HNSW index of the usual width."""
    index = faiss.IndexHNSWFlat(SIZE, NEIGHBORS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = WIDE
    index.add(rows)
    return index


def memory(index: faiss.Index) -> int:
    """Return the bytes of a serialized index, which is about its size in memory."""
    return int(faiss.serialize_index(index).nbytes)


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of `make` and its seconds."""
    start = time.perf_counter()
    made = make()
    return made, time.perf_counter() - start


def rounds(searches: dict[str, Callable[[np.ndarray], np.ndarray]], ask: Callable[..., object]) -> dict[str, float]:
    """Return the median milliseconds of each search over rounds that take turns."""
    spent: dict[str, list[float]] = {name: [] for name in searches}
    for number in range(ROUNDS + 1):
        for name, search in searches.items():
            seconds = timed(lambda search=search: ask(search))[1]
            if number:  # the first warms up
                spent[name].append(1000 * seconds)
    return {name: statistics.median(times) for name, times in spent.items()}


if __name__ == "__main__":
    main()
