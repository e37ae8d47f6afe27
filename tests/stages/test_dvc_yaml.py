"""dvc.yaml declares what the stages use: imports, settings, arguments and files, as read from the code."""

import ast
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from onelook.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "onelook"
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = tuple(PIPELINE["stages"])
RELEASED = PACKAGE / "released"  # weights, not code
SECTIONS = frozenset(Settings.model_fields)

# Stages run these, but no output depends on them: they record and report. Declared, every change would train anew.
WITHOUT_EFFECT = (PACKAGE / "experiment", PACKAGE / "logs.py", PACKAGE / "progress.py", PACKAGE / "__init__.py")


@dataclass(frozen=True)
class Stage:
    """An entry of dvc.yaml."""

    name: str

    @property
    def entry(self) -> dict:
        return PIPELINE["stages"][self.name]

    @property
    def command(self) -> list[str]:
        return shlex.split(self.entry["cmd"])

    @property
    def file(self) -> Path:
        return ROOT / self.command[1]

    @property
    def code(self) -> list[Path]:
        """Return the declared dependencies that are code."""
        code = [dep for dep in self.entry["deps"] if dep.startswith(("src/", "stages/"))]
        return [ROOT / dep for dep in code if not (ROOT / dep).is_relative_to(RELEASED)]

    @property
    def built(self) -> list[str]:
        """Return the declared dependencies that an earlier stage makes."""
        return [dep for dep in self.entry["deps"] if dep.startswith("build/")]

    @property
    def outputs(self) -> list[str]:
        entries = [out for kind in ("outs", "metrics", "plots") for out in self.entry.get(kind, [])]
        return [path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)]


def test_outputs_persist_until_they_are_replaced() -> None:
    """DVC deletes outputs that do not persist when the stage starts: a kill would lose the last model.

    Scenes can be made again, and outputs that do not persist are restored from DVC's cache.
    """
    for name in STAGES:
        for kind in ("outs", "metrics", "plots"):
            for entry in PIPELINE["stages"][name].get(kind, []):
                assert entry == "build/scenes" or list(entry.values()) == [{"persist": True}]


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(request.param)


def test_the_stages_come_in_the_order_of_the_data() -> None:
    assert STAGES == ("prepare", "train", "baselines", "evaluate", "index")


def test_every_imported_file_is_a_declared_dependency(stage: Stage) -> None:
    undeclared = {
        file.relative_to(ROOT).as_posix()
        for file in _closure(stage.file)
        if not any(file.is_relative_to(dep) for dep in stage.code)
    }
    assert not undeclared


def test_every_declared_code_dependency_is_imported(stage: Stage) -> None:
    used = _closure(stage.file)
    unused = [
        dep.relative_to(ROOT).as_posix() for dep in stage.code if not any(file.is_relative_to(dep) for file in used)
    ]
    assert not unused


def test_every_setting_read_is_a_declared_parameter(stage: Stage) -> None:
    read = set().union(*(_settings_read(file) for file in _closure(stage.file)))
    declared = stage.entry["params"]
    undeclared = {key for key in read if not any(key == param or key.startswith(f"{param}.") for param in declared)}
    assert not undeclared


def test_every_declared_parameter_is_read(stage: Stage) -> None:
    read = set().union(*(_settings_read(file) for file in _closure(stage.file)))
    unread = [p for p in stage.entry["params"] if not any(key == p or key.startswith(f"{p}.") for key in read)]
    assert not unread


def test_declared_parameters_stand_in_params_yaml(stage: Stage) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in stage.entry["params"]:
        value = params
        for part in name.split("."):
            assert part in value, name
            value = value[part]


def test_the_command_names_every_path_the_stage_reads_or_writes(stage: Stage) -> None:
    arguments = [Path(argument) for argument in stage.command if argument.startswith("build/")]
    hidden = [
        path
        for path in (*stage.built, *stage.outputs)
        if not any(Path(path).is_relative_to(given) for given in arguments)
    ]
    assert not hidden


def test_the_command_gives_the_arguments_the_stage_file_asks_for(stage: Stage) -> None:
    asked = {
        call.args[0].value
        for call in ast.walk(ast.parse(stage.file.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
    }
    assert {argument for argument in stage.command if argument.startswith("--")} == asked


def test_inputs_are_outputs_of_earlier_stages(stage: Stage) -> None:
    earlier = [out for name in STAGES[: STAGES.index(stage.name)] for out in Stage(name).outputs]
    assert set(stage.built) <= set(earlier)


@pytest.mark.parametrize("name", ["train", "baselines"])
def test_training_keeps_its_checkpoints_where_dvc_does_not_delete_them(name: str) -> None:
    command = Stage(name).command
    checkpoints = command[command.index("--checkpoints") + 1]
    assert not any(Path(checkpoints).is_relative_to(out) for each in STAGES for out in Stage(each).outputs)


def test_every_plot_is_drawn_from_an_output() -> None:
    outputs = [out for name in STAGES for out in Stage(name).outputs]
    for plot in PIPELINE["plots"]:
        (definition,) = plot.values()
        for file in definition["y"]:
            assert any(Path(file).is_relative_to(out) for out in outputs), file


def test_dvc_accepts_the_pipeline() -> None:
    with Repo(str(ROOT)) as repo:
        repo.check_graph(stages=repo.index.stages)
        assert {stage.addressing for stage in repo.index.stages} >= set(STAGES)
        config = repo.config["core"]
        assert (config["analytics"], config["check_update"]) == (False, False)


@cache
def _closure(file: Path) -> frozenset[Path]:
    """Return the file and every package file it imports, directly or not, that can affect an output."""
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in seen and not any(current.is_relative_to(path) for path in WITHOUT_EFFECT):
            seen.add(current)
            waiting.extend(_imports(current))
    return frozenset(seen)


def _imports(file: Path) -> list[Path]:
    names: set[str] = set()
    for node in _executed(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import, which this test does not follow"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return [path for name in names if name.split(".")[0] == "onelook" for path in _files(name)]


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node except those under `if TYPE_CHECKING:`, which never run."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from _executed(child)


def _files(module: str) -> list[Path]:
    """The files that importing a module runs: its own and its packages' __init__.py."""
    parts = module.split(".")[1:]
    folders = [PACKAGE.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    candidates = [*(folder / "__init__.py" for folder in folders), folders[-1].with_suffix(".py")]
    return [path for path in candidates if path.is_file() and not _only_a_docstring(path)]


def _only_a_docstring(file: Path) -> bool:
    return all(isinstance(node, ast.Expr) for node in ast.parse(file.read_text()).body)


@cache
def _settings_read(file: Path) -> frozenset[str]:
    """`section` or `section.key` for every attribute read off a whole `Settings` in a file."""
    tree = ast.parse(file.read_text())
    names = {
        argument.arg
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for argument in (*function.args.args, *function.args.kwonlyargs)
        if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Settings"
    } | {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "load_settings"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    nodes = list(ast.walk(tree))
    inner = {
        id(node.value) for node in nodes if isinstance(node, ast.Attribute)
    }  # settings.train in settings.train.batch_size
    chains = [_chain(node) for node in nodes if id(node) not in inner]
    return frozenset(
        ".".join(chain[1:3]) for chain in chains if len(chain) > 1 and chain[0] in names and chain[1] in SECTIONS
    )


def _chain(node: ast.AST) -> list[str]:
    """`["settings", "evaluate", "iou"]` for the expression `settings.evaluate.iou`, empty for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        base = _chain(node.value)
        return [*base, node.attr] if base else []
    return []


def test_training_depends_on_the_weights_it_may_start_from() -> None:
    weights = {f"src/onelook/released/{name}" for name in ("model.json", "model.safetensors")}
    assert weights <= set(Stage("train").entry["deps"])
