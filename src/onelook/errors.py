"""Exceptions that a user can fix: what is wrong, where, and what to do."""

# Of torch, OpenCV, onnxruntime, the loader of shared libraries and C++, which raise no MemoryError.
_OUT_OF_MEMORY = (
    "allocate memory",
    "insufficient memory",
    "out of memory",
    "bad_alloc",
    "bad allocation",
    "map segment",
)


class OnelookError(Exception):
    """Bad input, a bad setting or a damaged file; `str(error)` is shown to the user."""


class WriteError(OnelookError):
    """A file or folder that cannot be written."""


class SettingsError(OnelookError):
    """An unusable key or value of params.yaml."""


class PhotoError(OnelookError):
    """A photo that cannot be read or used."""


class VideoError(OnelookError):
    """A video that cannot be read or written."""


class ModelError(OnelookError):
    """A model folder or weights file that cannot be used."""


class GalleryError(OnelookError):
    """A gallery that cannot be used, or a change to it that cannot be made."""


class DataError(OnelookError):
    """A dataset or manifest that cannot be used."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of any library says that memory is lacking, and not that a file is damaged."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)
