"""Make the picture of projected points in the documentation.

python docs/pictures/make_face_pose.py --data ../shared/data --baselines build/face_pose/baselines

Writes docs/pictures/face_pose.jpg. Rings are the points of the joint network, dots those of FacePoseNet in its boxes.
Turned portraits, then the same shrunk to faces of 30 pixels.

Portraits: Face Research Lab London Set, DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0.
Everyone in it consented to being shown.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from onelook.data.image_io import read_image
from onelook.data.synthesis.face_turning import turn_face
from onelook.geometry.boxes import box_sizes
from onelook.geometry.head_pose import head_yaw
from onelook.inference.baseline_predictors import open_baselines
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.mesh_teacher import MeshTeacher
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

PEOPLE = ("006", "042")
YAWS = (-30, -15, 0, 15, 30)
MARGIN = 1.1  # sides of the face that are shown: a face turned in 3D has no hair and neck
SIDE, SMALL_FACE = 240, 30
QUALITY = 85
OWN, PROJECTED = (255, 255, 255), (60, 230, 60)


def main() -> None:
    """Turn the portraits, find their points and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds portraits/")
    parser.add_argument("--baselines", type=Path, required=True, help="folder that holds landmarks_face_pose_net/")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "face_pose.jpg")
    arguments = parser.parse_args()
    network, teacher = load_torch_predictor(RELEASED), MeshTeacher()
    landmarks = open_baselines(arguments.baselines, torch.device("cpu"))["landmarks_face_pose_net"]
    assert isinstance(landmarks, LandmarkPredictor)
    rows = []
    for number in PEOPLE:
        photo = read_image(arguments.data / "portraits" / f"{number}_neutral.jpg")
        image = cv2.resize(photo[:520, 40:560], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        (faces,) = network.predict([image], DetectSettings(), embed=False)
        vertices = teacher.predict(image, faces.boxes[0], faces.landmarks[0])
        if vertices is None:
            raise SystemExit(f"{number}: no mesh; choose another portrait")
        turned = [turn_face(image, vertices, yaw - head_yaw(vertices)).image for yaw in YAWS]
        factor = SMALL_FACE / float(box_sizes(faces.boxes[0]))
        small = [cv2.resize(each, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) for each in turned]
        rows += [[draw(each, network, landmarks) for each in images] for images in (turned, small)]
    Image.fromarray(np.vstack([np.hstack(row) for row in rows])).save(arguments.out, quality=QUALITY, optimize=True)


def draw(image: np.ndarray, network: TorchPredictor, landmarks: LandmarkPredictor) -> np.ndarray:
    """Return the face of the image, enlarged to `SIDE` pixels, with both kinds of points."""
    (faces,) = network.predict([image], DetectSettings(), embed=False)
    projected = landmarks.predict(image, faces.boxes)
    center = faces.boxes[0].reshape(2, 2).mean(axis=0)
    scale = SIDE / (MARGIN * float(box_sizes(faces.boxes[0])))
    transform = np.column_stack([scale * np.eye(2), SIDE / 2 - scale * center])
    drawn = cv2.warpAffine(image, transform, (SIDE, SIDE), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    for points, color, radius, thickness in ((faces.landmarks[0], OWN, 8, 2), (projected[0], PROJECTED, 4, -1)):
        for x, y in (points @ transform[:, :2].T + transform[:, 2]).tolist():
            cv2.circle(drawn, (round(x), round(y)), radius, color, thickness, cv2.LINE_AA)
    return drawn


if __name__ == "__main__":
    main()
