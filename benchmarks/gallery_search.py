"""Time the search among many people, and measure its recall on hard photos.

    python benchmarks/gallery_search.py --data ../shared/data [--people 20000 200000] [--peers]

People and photos are simulated from LFW's (see simulated_faces.py): each photo has a similarity of 0.4 to 0.7 to the
person's template. Recall@1 is the fraction of photos whose most similar template is found, as by brute force. The
templates are memory-mapped from a temporary file, 512 bytes per person; --scratch names its folder. "Memory" is that of
the index: a flat index copies the templates, a quantized one refers to the file.

Times are CPU milliseconds on one thread, so that other load counts little: of a batch of all photos, and of one photo
at a time. Peers, with --peers: inverted lists with the same codes and re-ranking, and HNSW. Prints a Markdown table per
number of people.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from simulated_faces import RealFaces, read_real_faces, simulate_people, simulate_photos

from onelook.gallery.faiss_index import build_flat_index, select_index
from onelook.gallery.faiss_library import faiss
from onelook.gallery.hard_probes import best_similarities
from onelook.gallery.quantized_index import MIN_CANDIDATES, QuantizedIndex, build_quantized_index
from onelook.gallery.ranking import rerank

PROBES, SINGLES = 2000, 50  # photos in the batch, photos one by one
ROUNDING = 1e-5  # between two sums of one inner product
MAX_FLAT = 1_000_000  # people of whom a flat index, a copy of the templates, is built
GRAPH_NEIGHBORS = 32

Made = TypeVar("Made")
Search = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Simulate, build, search and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--people", type=int, nargs="+", default=[20_000, 200_000, 1_000_000])
    parser.add_argument("--peers", action="store_true", help="also build inverted lists and HNSW")
    parser.add_argument("--embeddings", type=Path, help=".npz to keep the embeddings of LFW in, read if it exists")
    parser.add_argument("--scratch", type=Path, help="folder for the temporary file of templates")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    real = read_real_faces(arguments.data / "lfw", arguments.embeddings)
    print_real(real)
    for people in arguments.people:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            print_table(real, people, Path(folder) / "templates.npy", arguments.peers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak resident memory, mapped pages included: {peak:,.0f} MB")


def print_real(real: RealFaces) -> None:
    """Print the recall of quantized search on the real photos."""
    similarities = (real.second * real.first[real.owners]).sum(axis=1)
    index = QuantizedIndex(real.first, 2 * MIN_CANDIDATES)
    recalled = index.search(real.second, 1)[0][:, 0] >= best_similarities(real.first, real.second) - ROUNDING
    hard = (similarities >= 0.4) & (similarities < 0.7)
    print(f"LFW itself, {len(real.first):,} people, quantized, {index.candidates} candidates:")
    print(f"recall@1 {recalled.mean():.4f} of {len(recalled):,} second photos,", end=" ")
    print(f"{recalled[hard].mean():.4f} of the {hard.sum():,} at a similarity of 0.4 to 0.7")


def print_table(real: RealFaces, people: int, path: Path, peers: bool) -> None:
    """Print the table of one number of people, whose templates are written to `path`."""
    rng = np.random.default_rng(0)
    written = np.lib.format.open_memmap(path, "w+", np.float32, (people, real.first.shape[1]))
    simulate_people(real, written, rng)
    written.flush()
    del written
    templates = np.load(path, mmap_mode="r")
    probes = simulate_photos(real, templates, PROBES, rng)
    exact = best_similarities(templates, probes)
    print(f"\n| {people:,} people | built, s | memory, MB | batch, ms a photo | one photo, ms | recall@1 |", flush=True)
    print("|---|---|---|---|---|---|")
    ours = f"**onelook: {select_index(people, 0)}**"
    if people <= MAX_FLAT:
        flat, built = timed(lambda: build_flat_index(templates))
        name = ours if select_index(people, 0) == "flat" else "FAISS flat"
        print_row(name, built, templates.nbytes, lambda asked: flat.search(asked, 2)[0], probes, exact)
        del flat
    quantized, built = timed(lambda: build_quantized_index(templates))
    assert quantized is not None
    name = ours if select_index(people, 0) == "quantized" else "quantized"
    size = templates.size // 4  # bytes: four bits for two numbers
    name += f", {quantized.candidates} candidates"
    print_row(name, built, size, lambda asked: quantized.search(asked, 2)[0], probes, exact)
    if peers:
        print_lists(templates, quantized.candidates, probes, exact)
        print_graph(templates, probes, exact)


def print_lists(templates: np.ndarray, candidates: int, probes: np.ndarray, exact: np.ndarray) -> None:
    """Print the rows of inverted lists, re-ranked as ours."""
    lists, built = timed(lambda: build_lists(templates))
    size = len(templates) * (lists.code_size + 8)
    for divisor in (8, 4, 2):
        lists.nprobe = lists.nlist // divisor

        def search(asked: np.ndarray) -> np.ndarray:
            return rerank(templates, asked, lists.search(asked, candidates)[1], 2).similarities

        print_row(f"FAISS IVF-PQ, nprobe {lists.nprobe} of {lists.nlist}", built, size, search, probes, exact)


def print_graph(templates: np.ndarray, probes: np.ndarray, exact: np.ndarray) -> None:
    """Print the rows of an HNSW graph."""
    graph, built = timed(lambda: build_graph(templates))
    size = templates.nbytes + len(templates) * 2 * GRAPH_NEIGHBORS * 4
    for width in (64, 256, 1024):
        graph.hnsw.efSearch = width
        search: Search = lambda asked: graph.search(asked, 2)[0]  # noqa: E731
        print_row(f"FAISS HNSW, efSearch {width}", built, size, search, probes, exact)


def build_lists(templates: np.ndarray) -> faiss.IndexIVFPQFastScan:
    """Return an IVF-PQ fast-scan index with about 2 sqrt(n) lists."""
    nlist = 2 ** round(np.log2(2 * np.sqrt(len(templates))))
    dim = templates.shape[1]
    lists = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(dim), dim, nlist, dim // 2, 4, faiss.METRIC_INNER_PRODUCT)
    lists.cp.seed, lists.cp.spherical = 0, True
    lists.train(templates[np.sort(np.random.default_rng(0).permutation(len(templates))[: 40 * nlist])])
    lists.add(templates)
    return lists


def build_graph(templates: np.ndarray) -> faiss.IndexHNSWFlat:
    """Return an HNSW index of the usual width."""
    graph = faiss.IndexHNSWFlat(templates.shape[1], GRAPH_NEIGHBORS, faiss.METRIC_INNER_PRODUCT)
    graph.add(templates)
    return graph


def print_row(name: str, built: float, size: int, search: Search, probes: np.ndarray, exact: np.ndarray) -> None:
    """Time a search, and print its row."""
    found, batch = timed(lambda: search(probes))
    one = timed(lambda: [search(probe) for probe in single(probes)])[1] / SINGLES
    recall = (found[:, 0] >= exact - ROUNDING).mean()
    cells = f"{built:.1f} | {size / 1e6:,.0f} | {1000 * batch / len(probes):.2f} | {1000 * one:.2f} | {recall:.4f}"
    print(f"| {name} | {cells} |", flush=True)


def single(probes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield probes one by one, as (1, d)."""
    return (probes[row : row + 1] for row in range(SINGLES))


def timed(make: Callable[[], Made]) -> tuple[Made, float]:
    """Return what `make` returns, and its seconds of CPU."""
    start = time.process_time()
    made = make()
    return made, time.process_time() - start


if __name__ == "__main__":
    main()
