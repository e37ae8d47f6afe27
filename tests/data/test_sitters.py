from pathlib import Path

import numpy as np
import pytest

from onelook.data import sitters
from onelook.data.portrait import Portrait
from onelook.data.scene import Face


def test_many_people_are_blended_without_listing_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [
        sitters.Annotated(Portrait(Path(f"{i}.png"), f"p{i}", "", ""), (Face(np.zeros(4, np.float32)),))
        for i in range(30)
    ]
    for most in (30, 10):
        monkeypatch.setattr(sitters, "MATES", most)
        blended = sitters.blended_sitters(items, 20, np.random.default_rng(1))
        names = {name for s in blended for name in s.identity.removeprefix("blend of ").split(" and ")}
        assert len({sitter.identity for sitter in blended}) == 20 and 7 <= len(names) <= most
