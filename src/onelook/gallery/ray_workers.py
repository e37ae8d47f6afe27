"""Embed enrollment photos with several processes, on this machine or on a Ray cluster.

`ray.data` sends the photos to actors that load the model once. The results come back in the order of the photos, so
one process enrolls them, as without workers. A cluster, at the address in RAY_ADDRESS, must reach photos and model
under the same paths.
"""

import logging
import math
import os
import secrets
import site
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from onelook.errors import GalleryError, PhotoError
from onelook.gallery.bulk_enrollment import PhotoResult
from onelook.gallery.data import EnrolledFace, GalleryMetadata
from onelook.gallery.enrollment import batch_size
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.photo_enrollment import embed_single_faces
from onelook.inference.loading import open_predictor
from onelook.inference.predictor import Predictor

# Shared memory for the results; a face and its embedding take about a kilobyte, with a thumbnail four.
_OBJECT_STORE_BYTES = 200 * 2**20
# The names of sockets below it may have 107 bytes in all.
_LONGEST_FOLDER = 40


def embed_with_ray(
    predictor: Predictor, metadata: GalleryMetadata, workers: int, device: str, items: Iterator[EnrollmentItem]
) -> Iterator[PhotoResult]:
    """Embed photos that each show one person alone, with `workers` processes; yield results in the order of the items.

    Args:
        predictor: the model, which the workers load again.
        metadata: detection settings and limits of face quality.
        workers: number of worker processes; they share the cards of the cluster evenly.
        device: name of the workers' device.
        items: the photos.

    Raises:
        GalleryError: Ray is not installed, or the model was not loaded from a folder that the workers can read.
    """
    if predictor.source is None:
        raise GalleryError("workers load the model from its folder, and this one came from none; leave --workers out")
    if not os.environ.get("RAY_ADDRESS"):
        # Processes on this machine alone then speak over 127.0.0.1, and Ray does not ask for a way to the internet.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Ray would else write a token below the home folder, and leave it there.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # failures are raised; details are in Ray's log files
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise GalleryError("workers need the packages of Ray; `pip install 'onelook[ray]'`") from error
    todo = list(items)
    if not todo:
        return
    starts_ray = not ray.is_initialized()
    # Ray's log files, which may hold names of photos.
    folder = tempfile.TemporaryDirectory(prefix="onelook-", ignore_cleanup_errors=True)
    try:
        if starts_ray:
            _start_ray(ray, workers, folder.name)
        bar = track(todo, "photos", console=Console(stderr=True), disable=not sys.stderr.isatty())
        results = _map_photos(ray, predictor, predictor.source, metadata, workers, device, todo)
        yield from zip(bar, results, strict=True)
    finally:
        if starts_ray:
            ray.shutdown()
        folder.cleanup()


class _EmbeddingActor:
    """A worker process with its own copy of the model."""

    def __init__(self, model: str, fingerprint: str, metadata: str, working_directory: str, device: str) -> None:
        os.chdir(working_directory)  # photos may have relative paths
        self._predictor = open_predictor(Path(model), device)
        if self._predictor.fingerprint != fingerprint:
            raise GalleryError(f"{model}: another model than the one that enrolls; copy that one to every machine")
        self._metadata = GalleryMetadata.model_validate_json(metadata)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        items = [(str(name), Path(os.fsdecode(bytes(photo)))) for name, photo in zip(*batch.values(), strict=True)]
        faces, embeddings, problems = [], [], []
        for result in embed_single_faces(self._predictor, self._metadata, items):
            if isinstance(result, PhotoError):
                face, embedding, problem = "", np.zeros(self._predictor.embedding_size, np.float32), str(result)
            else:
                face, embedding, problem = result[0].model_dump_json(), result[1], ""
            faces.append(face)
            embeddings.append(embedding)
            problems.append(problem)
        # As bytes, because a message may contain a path that is not valid UTF-8.
        encoded = [os.fsencode(problem) for problem in problems]
        return {"face": faces, "embedding": np.asarray(embeddings), "problem": encoded}


def _start_ray(ray: Any, workers: int, folder: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**options)
        return
    if len(folder) <= _LONGEST_FOLDER:
        options["_temp_dir"] = folder
    with _home_of_processes(Path(folder)):
        # One CPU more than actors: without it ray.data's own tasks would wait for the actors forever.
        ray.init(num_cpus=workers + 1, include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **options)


@contextmanager
def _home_of_processes(folder: Path) -> Iterator[None]:
    """Give the processes that start inside the context `folder` as their home folder.

    Also with usage statistics switched off, Ray asks the metadata servers of three cloud providers on which cloud it
    runs (`get_cluster_config_to_report` of Ray 2.60), unless the home folder holds the configuration of a cluster.
    """
    (folder / "ray_bootstrap_config.yaml").write_text("{}")
    changed = {"HOME": str(folder), "USERPROFILE": str(folder), "PYTHONUSERBASE": site.getuserbase()}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def gpus_per_worker(workers: int, device: str, cards: float) -> float:
    """Return the part of a card that each worker reserves; Ray hides the cards from a worker that reserves none.

    Args:
        workers: number of workers.
        device: name of their device.
        cards: number of cards in the cluster.
    """
    # Rounded down to Ray's resolution: the workers together must not reserve more than there is.
    return math.floor(1e4 * min(1, cards / workers)) / 1e4 if device.startswith(("auto", "cuda")) else 0


def _map_photos(
    ray: Any,
    predictor: Predictor,
    model: Path,
    metadata: GalleryMetadata,
    workers: int,
    device: str,
    items: list[EnrollmentItem],
) -> Iterator[tuple[EnrolledFace, np.ndarray] | PhotoError]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    size = batch_size(predictor)
    blocks = -(-len(items) // size)
    actors = min(workers, blocks)
    # A worker has only its own card, which is the first there.
    worker_device = "cuda" if device.startswith("cuda") else device
    encoded_metadata = metadata.model_dump_json(by_alias=True)
    arguments = (str(model.resolve()), predictor.fingerprint, encoded_metadata, str(Path.cwd()), worker_device)
    context.execution_options.preserve_order = True
    dataset = ray.data.from_items(
        [{"name": item.name, "photo": os.fsencode(item.photo)} for item in items],
        override_num_blocks=blocks,
    ).map_batches(
        _EmbeddingActor,
        fn_constructor_args=arguments,
        batch_size=size,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        num_gpus=gpus_per_worker(actors, device, ray.cluster_resources().get("GPU", 0)),
    )
    for row in dataset.iter_rows():
        if row["problem"]:
            yield PhotoError(os.fsdecode(row["problem"]))
        else:
            yield EnrolledFace.model_validate_json(row["face"]), np.asarray(row["embedding"], np.float32)
