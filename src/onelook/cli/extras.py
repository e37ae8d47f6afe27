"""Errors that name the extra of a command whose packages are not installed."""

import functools
from collections.abc import Callable
from typing import Any

from onelook.errors import OnelookError

# Modules outside the base installation, by the extra that brings them.
_MODULES = {
    "train": ("torch", "onnx", "dvc", "mlflow", "sklearn", "scipy", "matplotlib", "pandas", "psutil", "yaml", "ruamel"),
    "page": ("nicegui",),
    "api": ("fastapi", "starlette", "uvicorn", "python_multipart", "prometheus_client"),
    "milvus": ("pymilvus", "milvus_lite"),
    "ray": ("ray",),
    "mesh": ("ai_edge_litert",),
}
_EXTRAS = {module: extra for extra, modules in _MODULES.items() for module in modules}


def with_extra_named(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Raise an OnelookError that names the extra where a command imports a module that is not installed.

    Args:
        name: of the command, for the message.
        command: its function.
    """

    @functools.wraps(command)
    def explained(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ModuleNotFoundError as error:
            module = (error.name or "").partition(".")[0]
            if module not in _EXTRAS:
                raise
            raise OnelookError(f"onelook {name}: needs {module}; `pip install 'onelook[{_EXTRAS[module]}]'`") from error

    return explained
