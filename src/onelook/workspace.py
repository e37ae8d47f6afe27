"""Paths of the workspace, from the copies of it in which DVC runs experiments.

`dvc exp run --temp` and queued experiments run in copies under .dvc/tmp/exps. A copy contains the files that Git and
DVC track: neither ignored photos nor what a relative path finds outside the project.
"""

import os
import shutil
from pathlib import Path


def project_root(start: Path) -> Path:
    """Return the root of the DVC project around `start`, or `start` itself outside a project.

    For an experiment's copy, which DVC removes afterwards, the root is that of the workspace.
    """
    root = _nearest_root(start.resolve())
    for folder in root.parents:
        if folder.name == ".dvc" and root.is_relative_to(folder / "tmp" / "exps"):
            return folder.parent
    return root


def workspace_path(path: str | Path) -> Path:
    """Return the path of data that a setting names.

    A relative path that is absent from an experiment's copy is that of the workspace; every other path is returned
    unchanged.
    """
    given = Path(path)
    original = project_root(Path.cwd()) / given
    return original if not given.exists() and original.exists() else given


def link_ignored_photos(folder: Path) -> None:
    """Link the workspace's photos into an experiment's copy that lacks them.

    DVC hashes a dependency inside the copy. Without the photos there, all experiments with equal settings would count
    as the same, whatever photos they read.

    Args:
        folder: the photos, with a directory per person. Nothing is done for an absolute path, outside an experiment's
            copy, or if a directory is already there.
    """
    copy = _nearest_root(Path.cwd())
    original = project_root(copy) / folder
    if folder.is_absolute() or original.resolve() == (copy / folder).resolve() or not original.is_dir():
        return
    if not any(entry.is_dir() for entry in folder.iterdir()):
        shutil.copytree(original, folder, symlinks=True, copy_function=_link_or_copy, dirs_exist_ok=True)


def _nearest_root(start: Path) -> Path:
    return next((folder for folder in (start, *start.parents) if (folder / ".dvc").is_dir()), start)


def _link_or_copy(source: str, target: str) -> str:
    """Hard-link a file, or copy it across file systems; an existing file stays."""
    if not Path(target).exists():
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
    return target
