"""The figure the best epoch is chosen by."""

import math

from onelook.data.scene import Manifest
from onelook.evaluation.identification import dir_at_fpir, rank1
from onelook.evaluation.probes import compare, see_split, try_probes
from onelook.model.look import Looker
from onelook.settings import Settings


def validation_figure(looker: Looker, manifest: Manifest, settings: Settings) -> dict[str, float]:
    """Detection and identification on the validation people, end to end.

    Returns:
        `ap50`, `rank1`, `dir_fpir10`, and `figure`: the geometric mean of `ap50` and `dir_fpir10`, which falls when
        either task is forgotten.

    Raises:
        DataError: there is nothing to validate on.
    """
    seen = see_split(looker, manifest, "validation", settings, lambda photos: None)
    trials = try_probes(seen.probes, *compare(seen.probes, seen.enrolled))
    ap50, dir_fpir10 = seen.outcomes().average_precision(), dir_at_fpir(trials, 0.1)
    return {
        "ap50": ap50,
        "rank1": rank1(trials),
        "dir_fpir10": dir_fpir10,
        "figure": math.sqrt(ap50 * dir_fpir10),
    }
