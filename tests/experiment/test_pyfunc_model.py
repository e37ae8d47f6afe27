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
        'torch>=2.9; extra == "train"',
        'onnx>=1; (platform_machine == "x86_64") and extra == "train"',
    ]
    monkeypatch.setattr(pyfunc_model, "requires", lambda package: declared)
    wanted = [f"numpy=={version('numpy')}", f'scipy=={version("scipy")}; platform_machine == "x86_64"']
    wanted += [f"torch=={version('torch').partition('+')[0]}"]
    wanted += [f'onnx=={version("onnx")}; (platform_machine == "x86_64")']
    gpu_builds = [f"{name}=={version(name)}" for name in packages_distributions()["faiss"] if name == "faiss-gpu"]
    assert pyfunc_model.pinned_requirements() == wanted + gpu_builds
