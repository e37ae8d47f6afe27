from importlib.metadata import packages_distributions, version

import pytest

from onelook.experiment import pyfunc_model


def test_requirements_and_faiss_are_pinned_and_those_of_other_systems_left_out(
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
    *others, faiss = pyfunc_model.pinned_requirements()
    assert others == wanted
    assert faiss in {f"{name}=={version(name)}" for name in packages_distributions()["faiss"]}
