"""Fit the open-set decision of a model over several sets of held-out people, into its calibration.json.

    python stages/calibrate.py --model build/model --calibration build/evaluation/calibration.json \
        --lfw ../shared/data/lfw --faces ../shared/data/faces/aaf --ages ../shared/data/faces/utk --out calibration.json

`make calibration` runs it as for the released weights. It is no stage of `dvc.yaml`, because the data of the default
pipeline are too few for it.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from onelook.data.readers.lfw import read_lfw
from onelook.data.rng import Stream, make_rng
from onelook.data.splits import hold_out_validation
from onelook.device import resolve_device
from onelook.evaluation.calibration_sets import find_named_photos, fit_open_set_model
from onelook.experiment.stage_main import stage_main
from onelook.files import write_json
from onelook.gallery.calibration import read_calibration
from onelook.inference.loading import load_torch_predictor
from onelook.reproducibility import seed_everything
from onelook.settings import LfwSettings, SplitFractions, load_settings


def main() -> None:
    """Fit the decision and write the calibration with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--calibration", type=Path, required=True, help="calibration.json that evaluate wrote")
    parser.add_argument("--lfw", type=Path, required=True, help="LFW; its validation people were held out of training")
    parser.add_argument(
        "--split", type=float, nargs=3, default=(0.7, 0.04, 0.26), help="prepare.split of the training, as a list"
    )
    parser.add_argument("--named", type=Path, nargs="*", default=[], help="folders with one directory per person")
    parser.add_argument("--faces", type=Path, nargs="*", default=[], help="folders of photos of different people")
    parser.add_argument("--ages", type=Path, help="folder of photos named age_sex_origin_..., as in UTKFace")
    parser.add_argument("--out", type=Path, required=True, help="calibration.json to write")
    arguments = parser.parse_args()
    settings = load_settings(Path("params.yaml"))
    seed_everything(settings.base)
    calibration = read_calibration(arguments.calibration)
    reading = read_lfw(LfwSettings(path=str(arguments.lfw)))
    train, validation, test = arguments.split
    fractions = SplitFractions(train=train, validation=validation, test=test)
    split_rng = make_rng(settings.base.seed, Stream.SPLIT)
    splits = hold_out_validation(reading.official_splits or {}, fractions, split_rng)
    held_out = [(image.identity, image.path) for image in reading.images if splits[image.identity] == "validation"]
    folders = {folder.name: find_named_photos(folder) for folder in arguments.named}
    predictor = load_torch_predictor(arguments.model, device=resolve_device(settings.base.device))
    model, counts = fit_open_set_model(
        predictor,
        calibration.detect,
        {"lfw": held_out} | folders,
        arguments.faces,
        arguments.ages,
        calibration.target_fpir,
        settings.base.seed,
    )
    content = json.loads(arguments.calibration.read_bytes())
    write_json(arguments.out, content | {"open_set": model.model_dump(mode="json"), "faces": counts}, private=False)
    for name, count in counts.items():
        print(f"{name}: {count} faces")


if __name__ == "__main__":
    stage_main(main)
