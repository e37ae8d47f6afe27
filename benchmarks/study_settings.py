"""Settings that the studies share.

LFW's training people in composed scenes, a teacher, a few short epochs.

A helper of the studies. Everything that is not named here is as in params.yaml.
"""

from pathlib import Path


def common(data: Path) -> tuple[str, ...]:
    """Return the settings common to all kinds of training.

    `data` holds lfw/ and weights/.
    """
    return (
        "base.threads=1",  # two experiments share two cores better than two threads share an experiment
        "prepare.reader=lfw",
        f"prepare.lfw.path={data.resolve() / 'lfw'}",
        "prepare.annotate.upscale=1",
        "prepare.split.train=0.7",
        "prepare.split.validation=0.04",
        "prepare.split.test=0.26",
        "prepare.compose.train=900",
        "prepare.compose.blended_identities=0",
        "prepare.compose.test=10",  # nobody looks at them
        f"teacher.path={data.resolve() / 'weights/mobilefacenet.onnx'}",
        "model.init=wheel",
        # The embedding head that the tables in docs/ were measured with.
        "model.embedding.strides=[2,4,8,16]",
        "model.embedding.depths=[2,2]",
        "train.epochs=2",
        "train.learning_rate=0.002",
        "train.backbone_lr_mult=0.1",
        "train.weights.identity=0.1",
        "train.weights.distillation=10",
        "train.augment.landmark_jitter=0.01",
    )


def released_recipe(data: Path) -> tuple[str, ...]:
    """Return the settings of a short training by the recipe of the released weights (docs/released.md).

    Beside the crops of `make released`, every step can have scenes for detection, and the backbone is trained. The
    losses of recognition have the proportion of the recipe and the sum of params.yaml. `data` holds lfw/, faces/ and
    weights/.
    """
    root = data.resolve()
    return (
        "base.threads=1",  # two experiments share two cores better than two threads share an experiment
        "prepare.reader=lfw",
        f"prepare.lfw.path={root / 'lfw'}",
        "prepare.annotate.upscale=1",
        "prepare.split.train=0.7",
        "prepare.split.validation=0.04",
        "prepare.split.test=0.26",
        f"prepare.extra_faces.path={root / 'faces'}",
        "prepare.face_crops=192",
        "prepare.compose.train=966",
        "prepare.compose.blended_identities=0",
        "prepare.compose.test=10",  # nobody looks at them
        f"teacher.path={root / 'weights/edgeface_xs_gamma06.tflite'}",
        "teacher.mean=[127.5,127.5,127.5]",
        "teacher.std=[127.5,127.5,127.5]",
        f"teacher.others=[{{path:{root / 'weights/mobilefacenet.onnx'}}}]",
        "teacher.dim=128",
        f"teacher.init_tail={root / 'weights/mobilefacenet.onnx'}",
        "model.init=wheel",
        "train.epochs=2",
        "train.precision=bfloat16",
        "train.learning_rate=0.002",
        "train.backbone_lr_mult=0.3",
        "train.weight_decay=0.02",
        "train.faces.batch_size=64",
        "train.faces.crop_size=160",
        "train.faces.labeled_fraction=0",
        "train.faces.size=[28,128]",
        "train.faces.degrade.mask=0.05",
        "train.faces.degrade.glasses=0.05",
        "train.faces.degrade.low_light=0.1",
        "train.faces.degrade.blur=0.1",
        "train.faces.degrade.motion_blur=0.05",
        "train.faces.degrade.low_resolution=0.15",
        "train.faces.degrade.gray=0.1",
        "train.faces.degrade.jpeg=0.2",
        "train.faces.degrade.off_center=0.2",
        "train.weights.identity=0",
        "train.weights.distillation=5",
        "train.weights.similarity=50",
        "train.augment.landmark_jitter=0.01",
    )
