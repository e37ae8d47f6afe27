"""Make the picture of turned faces in the documentation.

python docs/pictures/make_turned.py --data ../shared/data      # writes docs/pictures/turned.jpg

Portraits: Face Research Lab London Set, DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0.
Everyone in it consented to being shown.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from onelook.data.image_io import read_image
from onelook.data.synthesis.face_turning import turn_face
from onelook.geometry.head_pose import head_yaw
from onelook.inference.torch_predictor import public_detector
from onelook.model.mesh_teacher import MeshTeacher
from onelook.settings import DetectSettings

PEOPLE = ("005", "006", "030", "042")
YAWS = (-75, -50, -25, 25, 50, 75)
SIDE = 160  # of each picture, in pixels
QUALITY = 85


def main() -> None:
    """Detect, turn and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds portraits/")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "turned.jpg")
    arguments = parser.parse_args()
    detector, teacher = public_detector(), MeshTeacher()
    rows = []
    for number in PEOPLE:
        photo = read_image(arguments.data / "portraits" / f"{number}_neutral.jpg")
        image = cv2.resize(photo[:, 40:-40], (SIDE * 2, round(SIDE * 2 * len(photo) / (photo.shape[1] - 80))))
        image = np.ascontiguousarray(image[: SIDE * 2])
        (faces,) = detector.predict([image], DetectSettings(), embed=False)
        vertices = teacher.predict(image, faces.boxes[0], faces.landmarks[0])
        if vertices is None:
            raise SystemExit(f"{number}: no mesh; choose another portrait")
        turned = [turn_face(image, vertices, yaw - head_yaw(vertices)).image for yaw in YAWS]
        turned.insert(len(YAWS) // 2, image)
        rows.append(np.concatenate(turned, axis=1))
    picture = Image.fromarray(np.concatenate(rows))
    picture.reduce(2).save(arguments.out, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
