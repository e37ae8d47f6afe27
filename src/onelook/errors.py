"""The errors a user can mend: each message is one line that says what, where, and what to do."""


class OnelookError(Exception):
    """Bad input, a bad setting or a damaged file; `str(error)` is the whole line shown to the user."""


class SettingsError(OnelookError):
    """A key or value of params.yaml that cannot be used."""


class PhotoError(OnelookError):
    """A photo that cannot be read or used."""


class VideoError(OnelookError):
    """A video that cannot be read or written."""


class ModelError(OnelookError):
    """A model folder or weights file that cannot be used."""


class GalleryError(OnelookError):
    """A gallery folder that cannot be used, or a change to it that cannot be made."""


class DataError(OnelookError):
    """A data set or manifest that cannot be used."""
