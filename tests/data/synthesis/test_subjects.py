from pathlib import Path

import numpy as np
import pytest

from onelook.data.manifest import Face
from onelook.data.readers.identity_images import IdentityImage
from onelook.data.synthesis import subjects


def test_blended_subjects_limit_the_number_of_people(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [
        subjects.AnnotatedImage(IdentityImage(Path(f"{i}.png"), f"p{i}", "", ""), (Face(np.zeros(4, np.float32)),))
        for i in range(30)
    ]
    for limit in (30, 10):
        monkeypatch.setattr(subjects, "MAX_BLENDED_PEOPLE", limit)
        blended = subjects.blended_subjects(items, 20, np.random.default_rng(1))
        names = {name for s in blended for name in s.identity.removeprefix("blend of ").split(" and ")}
        assert len({subject.identity for subject in blended}) == 20 and 7 <= len(names) <= limit
