"""Check the promised false-accept rate (FAR) of `onelook verify` on pairs of held-out people.

    python benchmarks/verification_rates.py --data ../shared/data [--utkface FOLDER] [--model build/model]
        [--cache FOLDER]

All pairs of photos of a set are compared. The sets are those of `unknown.py`, none of which was trained or fitted on.
UTKFace has no names: all pairs count as pairs of different people, so that its rates are upper bounds. "One sex and
origin" are the pairs of people of the same age band, sex and origin, of all groups together.

A cell is the measured FAR, and behind the slash the true-accept rate (TAR): the fraction of pairs of one person that
are "same person". The calibration error is that of the confidence, with as many pairs of one as of two people. Prints a
Markdown table.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from device_option import add_device_option, load_predictor
from unknown import AGE_BANDS, SEED, Faces, embed_set, list_photos

from onelook.evaluation.calibration_sets import parse_ages
from onelook.evaluation.open_set_calibration import bin_by_confidence
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.data import GalleryMetadata
from onelook.model.model_folder import RELEASED
from onelook.score_normalization import SimilarityMoments

RATES = (0.01, 0.001, 0.0001)
_NO_OTHERS = SimilarityMoments(0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs (n,) of photos: similarity, one person, both nameable, one of them young."""

    similarities: np.ndarray
    same: np.ndarray
    nameable: np.ndarray
    young: np.ndarray


def main() -> None:
    """Embed the sets, compare all pairs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/ and cfp_folds_1_2/")
    parser.add_argument("--utkface", type=Path, help="folder of UTKFace photos; by default faces/utk of --data")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--cache", type=Path, help="folder that caches the embeddings, shared with unknown.py")
    add_device_option(parser)
    arguments = parser.parse_args()
    predictor = load_predictor(arguments.model, arguments.device)
    metadata = read_calibrated_metadata(
        arguments.model / "calibration.json", predictor.fingerprint, predictor.embedding_size, managed=False
    )
    utkface = arguments.utkface or arguments.data / "faces" / "utk"
    photos = list_photos(arguments.data, utkface)
    sets = {
        name: embed_set(name, photos[name], predictor, metadata, arguments.cache) for name in ("lfw", "cfp", "utkface")
    }
    print(f"| pairs of | {' | '.join(f'FAR {rate:g} promised' for rate in RATES)} | calibration error |")
    print("|---|" + "---|" * (len(RATES) + 1))
    for label, pairs in list_rows(sets, metadata):
        cells = [measure(pairs, rate, metadata) for rate in RATES]
        print(
            f"| {label}, {len(pairs.same):,} | {' | '.join(cells)} | {calibration_error(pairs, metadata)} |", flush=True
        )


def list_rows(sets: dict[str, Faces], metadata: GalleryMetadata) -> Iterator[tuple[str, Pairs]]:
    """Yield label and pairs of each row."""
    cfp, utkface = sets["cfp"], sets["utkface"]
    yield "LFW", make_pairs([sets["lfw"]], metadata)
    is_profile = np.array([Path(photo).parent.name == "profile" for photo in cfp.photos])
    yield "CFP, frontal", make_pairs([cfp.select(~is_profile)], metadata)
    yield "CFP, frontal and profile", make_pairs([cfp], metadata)
    yield "UTKFace", make_pairs([utkface], metadata)
    ages, groups = parse_ages([Path(photo) for photo in utkface.photos])
    for band, (youngest, oldest) in AGE_BANDS.items():
        is_in_band = (ages >= youngest) & (ages <= oldest)
        parts = [utkface.select(is_in_band & (groups == group)) for group in np.unique(groups[is_in_band])]
        if parts:
            yield f"UTKFace, {band}, one sex and origin", make_pairs(parts, metadata)


def make_pairs(parts: Sequence[Faces], metadata: GalleryMetadata) -> Pairs:
    """Make all pairs within each part."""
    model = metadata.open_set
    assert model is not None
    columns: list[tuple[np.ndarray, ...]] = []
    for faces in parts:
        first, second = np.triu_indices(len(faces.people), 1)
        nameable = np.array([model.nameable.describe_problems(quality) is None for quality in faces.qualities], bool)
        is_young = np.zeros(len(nameable), bool) if model.young is None else model.young.includes(faces.embeddings)
        columns.append(
            (
                (faces.embeddings @ faces.embeddings.T)[first, second].astype(np.float64),
                faces.people[first] == faces.people[second],
                nameable[first] & nameable[second],
                is_young[first] | is_young[second],
            )
        )
    return Pairs(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def measure(pairs: Pairs, far: float, metadata: GalleryMetadata) -> str:
    """Decide as `verify_faces` does, and format the rates."""
    model = metadata.open_set
    assert model is not None
    thresholds = np.full(len(pairs.same), model.typical_threshold(far, 1))
    if model.young is not None:
        thresholds[pairs.young] = np.maximum(thresholds[pairs.young], model.young.impostors.threshold(far, 1))
    accepted = (pairs.similarities >= thresholds) & pairs.nameable
    measured = f"{accepted[~pairs.same].mean():.1e}"
    return f"{measured} / {accepted[pairs.same].mean():.3f}" if pairs.same.any() else measured


def calibration_error(pairs: Pairs, metadata: GalleryMetadata) -> str:
    """Compute the expected calibration error of the confidence; empty without pairs of one person."""
    model = metadata.open_set
    assert model is not None
    if not pairs.same.any():
        return ""
    rng = np.random.default_rng(SEED)
    count = min(int(pairs.same.sum()), int((~pairs.same).sum()))
    rows = np.concatenate([rng.permutation(np.flatnonzero(kind))[:count] for kind in (pairs.same, ~pairs.same)])
    scores = model.prior.normalize(pairs.similarities[rows], _NO_OTHERS)
    diagram = bin_by_confidence(model.impostors.confidence(scores, 1), pairs.same[rows], np.ones(len(rows)))
    return f"{diagram.expected_calibration_error():.3f}"


if __name__ == "__main__":
    main()
