"""Checks before training: every trained task has data to train on."""

from onelook.data.face_dataset import FaceDataset
from onelook.data.morphable_model import MorphableModel, read_morphable_model
from onelook.data.scene_dataset import SceneDataset
from onelook.errors import DataError
from onelook.model.joint_network import JointNetwork
from onelook.settings import TrainSettings


def check_training_data(
    network: JointNetwork, scenes: SceneDataset, faces: FaceDataset | None, settings: TrainSettings
) -> None:
    """Check that the data fit the network and the trained tasks.

    Raises:
        DataError: recognition is trained without identities or without any loss, a mesh head without meshes, or the
            embeddings of the teacher have another dimension than those of the network.
    """
    if settings.tasks != "detection" and not scenes.identities:
        raise DataError(
            f"{scenes.manifest.root}: no training scene has an identity; set train.tasks: detection, or "
            "prepare more photos"
        )
    trains_detection = settings.batch_size > 0 and settings.tasks != "recognition"
    if network.mesh is not None and not (scenes.has_meshes and trains_detection):
        raise DataError(
            "model.mesh: true needs meshes to train on; set prepare.mesh_labels: true, train.batch_size above 0 and "
            "train.tasks: both or detection"
        )
    if settings.weights.identity == 0 and faces is not None and faces.embedding_dim is None:
        raise DataError("train.weights.identity is 0, so a teacher must train recognition; set teacher.path")
    dim = network.settings.embedding.dim
    for teacher_dim in (scenes.embedding_dim, None if faces is None else faces.embedding_dim):
        if teacher_dim not in (None, dim):
            raise DataError(
                f"the teacher's embeddings have dimension {teacher_dim}, the network's {dim}; "
                f"set model.embedding.dim to {teacher_dim}"
                + (f", or teacher.dim to {dim}" if teacher_dim > dim else "")
            )


def require_morphable_model(scenes: SceneDataset, settings: TrainSettings) -> MorphableModel:
    """Read the morphable model that the dense head starts from.

    Raises:
        DataError: there is none, or no scenes are trained on.
    """
    model = read_morphable_model(scenes.manifest)
    if model is None or settings.batch_size == 0 or settings.tasks == "recognition":
        raise DataError(
            "model.dense: true needs a morphable model to start from; set prepare.mesh_labels and "
            "prepare.morphable_model: true, train.batch_size above 0 and train.tasks: both or detection"
        )
    return model
