"""The commands that change files, with the state before and after: what `faults.py` and `kills.py` interrupt.

Faces are coded in the pixels of the photos (`tests/helpers/coded_faces.py`), so that no network runs.
"""

import shutil
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch  # once, before the forks

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import onelook.gallery.gallery
from helpers.coded_faces import FACE, SIZE, CodedPredictor, make_embedding
from helpers.networks import light_model, tiny_embedding
from onelook import cli
from onelook.errors import OnelookError
from onelook.files import recover_folder
from onelook.gallery.backend_factory import is_gallery, open_backend, write_gallery
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.model.joint_network import JointNetwork
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings
from onelook.training.checkpoint import load_checkpoint, save_checkpoint

METADATA = GalleryMetadata(
    fingerprint="a" * 64,
    embedding_size=SIZE,
    threshold=0.6,
    target_fpir=0.01,
    detect=DetectSettings(score=0.5, nms=0.4, longest_side=640),
    managed=False,
)
PEOPLE = ("Ann", "Bob", "Eve")


@dataclass(frozen=True)
class Command:
    """A command of the command line on the folder of one trial.

    Attributes:
        name: for the table.
        arguments: makes the arguments, from the folder.
        state: reads what the command changes, from the folder; None: it is not there.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    state: Callable[[Path], Hashable]

    def run(self, folder: Path) -> None:
        """Run the command in this process, as the program does, which ends by SystemExit where it fails."""
        sys.argv = ["onelook", *self.arguments(folder)]
        cli.main()


def use_coded_predictor() -> None:
    """Let galleries be opened with the predictor of coded faces instead of a network."""
    predictor = CodedPredictor()
    onelook.gallery.gallery.open_predictor = lambda *_, **__: predictor  # type: ignore[assignment]


def prepare(folder: Path) -> None:
    """Write what every trial starts from: a gallery, a backup of another one, and photos."""
    faces, rows = [], []
    for i, name in enumerate(PEOPLE):
        for variant in range(2):
            faces.append(EnrolledFace(person=name, photo=f"{name}{variant}.png", sha256=f"{2 * i + variant:064x}"))
            rows.append(make_embedding(i, variant))
    write_gallery(folder / "gallery", GalleryData(METADATA, tuple(faces), np.asarray(rows, np.float32)))
    other = EnrolledFace(person="Zed", photo="z.png", sha256="f" * 64)
    write_gallery(folder / "other", GalleryData(METADATA, (other,), make_embedding(50)[None]))
    write_backup(folder / "other.zip", open_backend(folder / "other").read_data())
    for number in (11, 12, 13):
        path = folder / f"people/P{number}/{number}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), coded_photo(number))


def coded_photo(identity: int) -> np.ndarray:
    """Draw a photo of one coded face, BGR."""
    image = np.random.default_rng([0, identity]).integers(0, 256, (70, 4 * FACE, 3), np.uint8)
    image[0, 0, :2] = 1, FACE
    image[0, 1, :2] = identity, 0
    return image[:, :, ::-1]


def gallery_state(folder: Path) -> Hashable:
    """Return people, photos and embeddings of a gallery; None: there is none."""
    return None if not is_gallery(folder) else _content(open_backend(folder).read_data())


def backup_state(path: Path) -> Hashable:
    """Return the content of a backup; None: there is none."""
    return _content(read_backup(path)) if path.exists() else None


def files_state(folder: Path) -> Hashable:
    """Return the visible files of a folder with their bytes; None: there is none."""
    if not folder.is_dir():
        return None
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return tuple((path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths)


def _content(data: GalleryData) -> Hashable:
    rows = [row.tobytes() for row in data.embeddings]
    faces = [(face.person, face.sha256) for face in data.faces]
    return tuple(sorted(zip(faces, rows, strict=True)))


def _gallery_command(name: str, *arguments: str) -> Command:
    def make(folder: Path) -> list[str]:
        filled = [argument.replace("ROOT", str(folder)) for argument in arguments]
        return [name, *filled, "--gallery", str(folder / "gallery")]

    return Command(name, make, lambda folder: gallery_state(folder / "gallery"))


def _output_command(name: str, target: str, state: Callable[[Path], Hashable]) -> Command:
    def make(folder: Path) -> list[str]:
        return [name, str(folder / target), "--gallery", str(folder / "gallery")]

    return Command(name, make, lambda folder: state(folder / target))


COMMANDS = (
    _gallery_command("enroll", "New", "ROOT/people/P11/11.png"),
    _gallery_command("remove", "Ann", "Ann1.png"),
    _gallery_command("rename", "Ann", "Renamed"),
    _gallery_command("merge", "Ann", "Bob"),
    _gallery_command("forget", "Ann"),
    _gallery_command("restore", "ROOT/other.zip", "--yes"),
    _output_command("backup", "new.zip", backup_state),
    _output_command("export", "table", files_state),
)


class SaveModel(Command):
    """Saving a model folder over another one, as a training does at its end."""

    def run(self, folder: Path) -> None:
        """Write the model."""
        _as_command(lambda: _write_model(folder, 1))


class SaveCheckpoint(Command):
    """Writing a checkpoint over another one, as a training does after each epoch."""

    def run(self, folder: Path) -> None:
        """Write the checkpoint."""
        _as_command(lambda: _write_checkpoint(folder, 2))


def _as_command(work: Callable[[], None]) -> None:
    """Run work with the messages and the exit codes of the command line."""
    try:
        work()
    except OnelookError as error:
        print(f"onelook: {error}", file=sys.stderr)
        sys.exit(1)


def _write_model(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    save_model(folder / "model", JointNetwork(light_model(tiny_embedding(8))))


def _write_checkpoint(folder: Path, step: int) -> None:
    save_checkpoint(folder / "checkpoints", "key", {"step": step})


def _checkpoint_state(folder: Path) -> Hashable:
    state = load_checkpoint(folder / "checkpoints", "key")
    return None if state is None else state["step"]


def _model_state(folder: Path) -> Hashable:
    recover_folder(folder / "model")  # as the next command on the folder does
    return files_state(folder / "model")


TRAINING = (
    SaveModel("save model", lambda _: [], _model_state),
    SaveCheckpoint("save checkpoint", lambda _: [], _checkpoint_state),
)


def prepare_training(folder: Path) -> None:
    """Write a model and a checkpoint."""
    _write_model(folder, 0)
    _write_checkpoint(folder, 1)


def copy_base(base: Path, folder: Path) -> None:
    """Start a trial: a copy of what `prepare` wrote."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)


def settle(folder: Path) -> None:
    """Change the gallery of a trial once more, which removes what an interrupted change left; none without one."""
    if is_gallery(folder / "gallery"):
        open_backend(folder / "gallery").rename(sorted(open_backend(folder / "gallery").people())[-1], "Last")
