"""Arrays that the preparation leaves beside the manifest, in a safetensors file each."""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from onelook.data.manifest import Manifest
from onelook.errors import DataError


def read_arrays(manifest: Manifest, file: str, names: set[str]) -> dict[str, np.ndarray] | None:
    """The arrays of these names in a file beside the manifest, or None where there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    path = manifest.root / file
    if not path.is_file():
        return None
    try:
        arrays: dict[str, np.ndarray] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: damaged; run `dvc repro -f prepare`") from error
    if arrays.keys() != names:
        raise DataError(f"{path}: damaged; run `dvc repro -f prepare`")
    return arrays


def read_rows(manifest: Manifest, file: str, name: str, rows: int) -> np.ndarray | None:
    """The array (rows, ...) of a file that holds it alone, or None where there is no such file.

    Raises:
        DataError: the file is damaged, or has another number of rows.
    """
    arrays = read_arrays(manifest, file, {name})
    if arrays is None:
        return None
    if len(arrays[name]) != rows:
        raise DataError(f"{manifest.root / file}: not of this manifest's faces; run `dvc repro -f prepare`")
    return arrays[name]
