"""Photos of many people looked at by several processes, of this machine or of a Ray cluster.

The photos go through `ray.data` to actors that load the model once; what they saw comes back in the order of the
photos, so that one process enrolls, as without them. A cluster, at the address in RAY_ADDRESS, must reach photos and
model under the same paths.
"""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from onelook.errors import GalleryError, PhotoError
from onelook.gallery.bulk_enrollment import Seen
from onelook.gallery.data import Entry
from onelook.gallery.enrollment import PASS, embed_single_faces
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.inference.loading import open_predictor
from onelook.inference.predictor import Predictor
from onelook.settings import DetectSettings

# Of shared memory for what comes back: an entry and an embedding a photo are about a kilobyte.
_STORE_BYTES = 200 * 2**20


def look_with_workers(
    looker: Predictor, detect: DetectSettings, workers: int, people: Iterator[EnrollmentItem]
) -> Iterator[Seen]:
    """Look at photos that each show one person alone, by so many processes; in the order of the photos.

    Raises:
        GalleryError: Ray is not installed, or the model came from nowhere that the processes could read.
    """
    if looker.folder is None:
        raise GalleryError("workers load the model from its folder, and this one came from none; leave --workers out")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing about a run is sent to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what fails is raised; its log files tell the rest
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise GalleryError("workers need the packages of Ray; `pip install 'onelook[ray]'`") from error
    todo = list(people)
    if not todo:
        return
    begun = not ray.is_initialized()
    if begun:
        _begin(ray, workers)
    try:
        bar = track(todo, "photos", console=Console(stderr=True), disable=not sys.stderr.isatty())
        yield from zip(bar, _outcomes(ray, looker, looker.folder, detect, workers, todo), strict=True)
    finally:
        if begun:
            ray.shutdown()


class _Actor:
    """A process that looks."""

    def __init__(self, model: str, fingerprint: str, detect: str, folder: str) -> None:
        os.chdir(folder)  # photos may be named from there
        self._looker = open_predictor(Path(model))
        if self._looker.fingerprint != fingerprint:
            raise GalleryError(f"{model}: another model than the one that enrolls; copy that one to every machine")
        self._detect = DetectSettings.model_validate_json(detect)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        people = [(str(name), Path(os.fsdecode(bytes(photo)))) for name, photo in zip(*batch.values(), strict=True)]
        entries, embeddings, problems = [], [], []
        for seen in embed_single_faces(self._looker, self._detect, people):
            if isinstance(seen, PhotoError):
                entry, embedding, problem = "", np.zeros(self._looker.embedding_size, np.float32), str(seen)
            else:
                entry, embedding, problem = seen[0].model_dump_json(), seen[1], ""
            entries.append(entry)
            embeddings.append(embedding)
            problems.append(problem)
        # As bytes: the line may tell a path that is no text.
        told = [os.fsencode(problem) for problem in problems]
        return {"entry": entries, "embedding": np.asarray(embeddings), "problem": told}


def _begin(ray: Any, workers: int) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
    else:  # with a processor for ray.data's own work beside the actors', or it would wait for them for ever
        ray.init(num_cpus=workers + 1, include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)


def _outcomes(
    ray: Any, looker: Predictor, model: Path, detect: DetectSettings, workers: int, people: list[EnrollmentItem]
) -> Iterator[tuple[Entry, np.ndarray] | PhotoError]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    blocks = -(-len(people) // PASS)
    context.execution_options.preserve_order = True
    looked = ray.data.from_items(
        [{"name": each.name, "photo": os.fsencode(each.photo)} for each in people],
        override_num_blocks=blocks,
    ).map_batches(
        _Actor,
        fn_constructor_args=(str(model.resolve()), looker.fingerprint, detect.model_dump_json(), str(Path.cwd())),
        batch_size=PASS,
        compute=ray.data.ActorPoolStrategy(size=min(workers, blocks)),
        num_cpus=1,
    )
    for row in looked.iter_rows():
        if row["problem"]:
            yield PhotoError(os.fsdecode(row["problem"]))
        else:
            yield Entry.model_validate_json(row["entry"]), np.asarray(row["embedding"], np.float32)
