import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "export-model model.onnx": "onnx",
    "collect-faces mine photos --out faces --recognizer some.onnx --exclude photos": "torch",
    "turn-faces utk --out turned": "torch",
    "preset ssh": "ruamel",
}


def test_a_command_without_its_extra_says_so_in_one_line(tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules |= dict.fromkeys(("torch", "onnx", "ruamel"))
from onelook.cli import main
for command in {list(COMMANDS)!r}:
    sys.argv = ["onelook", *command.split()]
    try:
        main()
    except SystemExit as end:
        assert end.code == 1, command
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.splitlines() == [
        f"error: onelook {command.split()[0]}: needs {module}; `pip install 'onelook[train]'`"
        for command, module in COMMANDS.items()
    ]
