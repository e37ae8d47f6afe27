import subprocess
import sys
from pathlib import Path


def test_serve_without_nicegui_names_the_extra_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['nicegui'] = None; from onelook.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--gallery", str(tmp_path / "gallery")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: the page needs NiceGUI; install it with `pip install 'onelook[page]'`\n"
