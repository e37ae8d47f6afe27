"""Compare detection and verification of the network in float32 and in bfloat16.

    python benchmarks/rounding.py --data ../shared/data [--model build/model]

AP at IoU 0.5 on the 103 WIDER FACE validation photos at two sizes (`detection_retention.py`), and verification on LFW's
development test pairs (`lfw_verification.py`). None of these people is in the training data. Prints a Markdown table.
"""

import argparse
from pathlib import Path

import torch
from detection_retention import wider_ap
from study_metrics import Bench

from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED
from onelook.settings import Precision

SIDES = (640, 1024)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
THREADS = 2


def main() -> None:
    """Evaluate both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds widerface/ and lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    bench = Bench(arguments.data)
    print(f"| most of the network in | {' | '.join(f'WIDER AP .5 at {side}' for side in SIDES)} ", end="")
    print("| LFW accuracy, ten folds | TAR at 1 % FAR |\n|---|---|---|---|---|")
    for precision in PRECISIONS:
        predictor = load_torch_predictor(arguments.model, precision)
        detection = [wider_ap(predictor, bench.wider, side) for side in SIDES]
        metrics = bench.measure(predictor)
        print(f"| {precision} | {' | '.join(f'{each:.4f}' for each in detection)} ", end="")
        print(f"| {metrics['accuracy']:.4f} | {metrics['tar']:.3f} |")


if __name__ == "__main__":
    main()
