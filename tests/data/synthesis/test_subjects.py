from pathlib import Path

import numpy as np
import pytest

from onelook.data.manifest import Face
from onelook.data.readers.identity_images import IdentityImage
from onelook.data.synthesis import subjects


def test_many_people_are_blended_without_listing_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [
        subjects.AnnotatedImage(IdentityImage(Path(f"{i}.png"), f"p{i}", "", ""), (Face(np.zeros(4, np.float32)),))
        for i in range(30)
    ]
    for most in (30, 10):
        monkeypatch.setattr(subjects, "MATES", most)
        blended = subjects.blended_subjects(items, 20, np.random.default_rng(1))
        names = {name for s in blended for name in s.identity.removeprefix("blend of ").split(" and ")}
        assert len({sitter.identity for sitter in blended}) == 20 and 7 <= len(names) <= most
