"""Cells of WIDER FACE's `.mat` files.

SciPy's reader can crash the process on a damaged file. The four official files are recognized by their SHA-256 and read
here; any other file is read in a process of its own, with limits on memory and time.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onelook.errors import DataError
from onelook.evaluation import mat_process
from onelook.files import sha256
from onelook.untrusted import parse_json

OFFICIAL = frozenset(
    {
        "1dfe6a9853950f9dde256b5e8bb75d8f272e6bc02a15ae1968f5a9b883f458cb",  # wider_face_val.mat
        "c2fb672d16f75653eb89fb8bc437a7d060896a71cd7a65c1a5a3e4479024099c",  # wider_easy_val.mat
        "4a031970bc132cef5cfacd05068aabcf4fe15d4a31a1e9f4f00eb134fdf449c1",  # wider_medium_val.mat
        "bb1af19dc5bc4dd9517dd8ae8096326c68175f2c3411763bdd4f23fa98638b78",  # wider_hard_val.mat
    }
)
_MAX_FILE_BYTES = 64 * 2**20
_MAX_OUTPUT_BYTES = 512 * 2**20
_SECONDS = 120


def read_cells(files: Iterable[tuple[Path, str]]) -> list[list[tuple[str, str, Any]]]:
    """Read a variable of each file, which has a cell per event, of a cell per photo.

    Args:
        files: the file and the name of its variable.

    Returns:
        By file: event, name of the photo, and its rows as an array or as nested lists.

    Raises:
        DataError: a file is missing or damaged, or has another layout.
    """
    requests = list(files)
    for path, _ in requests:
        if not path.is_file():
            raise DataError(f"{path}: no such file; unpack the ground_truth folder of WIDER FACE's eval_tools there")
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise DataError(f"{path}: too large for one of WIDER FACE's eval_tools; take it from there")
    unknown = [request for request in requests if sha256(request[0]) not in OFFICIAL]
    answers = iter(_read_in_process(unknown) if unknown else ())
    cells = []
    for path, variable in requests:
        answer = next(answers) if (path, variable) in unknown else mat_process.read_cells(str(path), variable)
        if isinstance(answer, str):
            raise DataError(f"{path}: {answer}")
        cells.append([(str(event), str(photo), rows) for event, photo, rows in answer])
    return cells


def _read_in_process(requests: list[tuple[Path, str]]) -> list[Any]:
    """Return what `mat_process.read_cells` returns for each file, in nested lists."""
    arguments = [part for path, variable in requests for part in (str(path.resolve()), variable)]
    # -P: the folder of the script, which holds modules of this package, is not searched for SciPy's.
    command = [sys.executable, "-P", mat_process.__file__, *arguments]
    names = ", ".join(str(path) for path, _ in requests)
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        if done.returncode == 0:
            answers: list[Any] = parse_json(done.stdout, _MAX_OUTPUT_BYTES)
            return answers
    except (subprocess.TimeoutExpired, ValueError):
        pass
    raise DataError(f"{names}: not MATLAB files that can be read, or damaged ones; download them again")
