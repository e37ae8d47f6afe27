"""What a logged model asks to be installed where it is served."""

from importlib.metadata import version

import pytest

from onelook.experiment import pyfunc_model


def test_requirements_are_pinned_for_their_systems_and_those_of_others_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declared = [
        "numpy>=2",
        'scipy>=1.13; platform_machine == "x86_64"',
        'no-package-of-this-system>=1; sys_platform == "elsewhere"',
        'pytest>=8; extra == "dev"',
    ]
    monkeypatch.setattr(pyfunc_model, "requires", lambda package: declared)
    wanted = [f"numpy=={version('numpy')}", f'scipy=={version("scipy")}; platform_machine == "x86_64"']
    assert pyfunc_model._requirements() == wanted
