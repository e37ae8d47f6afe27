from importlib.metadata import version

import pytest

from onelook.experiment import pyfunc_model


def test_requirements_are_pinned_and_those_of_other_systems_left_out(
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
    assert pyfunc_model.pinned_requirements() == wanted
