from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from onelook.data.image_cache import ImageCache


class Disk:
    """Images of 100 bytes by number, and the paths that were read."""

    def __init__(self) -> None:
        self.read_paths: list[Path] = []

    def read(self, path: Path) -> np.ndarray:
        self.read_paths.append(path)
        return np.full(100, int(path.stem), np.uint8)


def test_images_are_read_once_as_long_as_they_fit() -> None:
    disk = Disk()
    cache = ImageCache(disk.read, 250)
    paths = [Path(f"{number}.png") for number in range(4)]
    for _ in range(3):
        for number, path in enumerate(paths):
            assert (cache.read(path) == number).all()
    assert [disk.read_paths.count(path) for path in paths] == [1, 1, 3, 3]


def test_a_smaller_image_fills_the_rest_of_the_memory() -> None:
    reads: list[str] = []

    def read(path: Path) -> np.ndarray:
        reads.append(path.stem)
        return np.zeros(int(path.stem), np.uint8)

    cache = ImageCache(read, 100)
    for _ in range(2):
        for size in (60, 50, 40):
            cache.read(Path(f"{size}.png"))
    assert reads == ["60", "50", "40", "50"]


def test_threads_keep_within_the_memory() -> None:
    disk = Disk()
    cache = ImageCache(disk.read, 1000)
    paths = [Path(f"{number}.png") for number in range(20)] * 10
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(cache.read, paths))
    assert all((image == int(path.stem)).all() for image, path in zip(images, paths, strict=True))
    disk.read_paths.clear()
    for path in paths[:20]:
        cache.read(path)
    assert len(disk.read_paths) == 10
