import subprocess
import sys
from pathlib import Path

import pytest

from onelook.cli import app
from onelook.errors import OnelookError


def test_serve_without_nicegui_names_the_extra_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['nicegui'] = None; from onelook.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--gallery", str(tmp_path / "gallery")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: the page needs NiceGUI; install it with `pip install 'onelook[page]'`\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no-page"], "--no-page and --token-file go with --api; add it"),
        (
            ["--api", "--no-page", "--host", "0.0.0.0"],
            "0.0.0.0: the API needs a token there; name a --token-file, or set ONELOOK_TOKEN",
        ),
    ],
)
def test_serve_refuses_an_api_that_anybody_could_use(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("prometheus_client", reason="the API needs onelook[api]")
    monkeypatch.delenv("ONELOOK_TOKEN", raising=False)
    with pytest.raises(OnelookError) as refused:
        app(["serve", "--gallery", str(tmp_path / "gallery"), *options], standalone_mode=False)
    assert str(refused.value) == message
