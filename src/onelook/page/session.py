"""Sessions: the photos that one browser has opened, shared by its tabs and kept while pages are reloaded."""

import secrets
import threading
from collections import OrderedDict

from onelook.page.controller import PageController
from onelook.page.photos import DisplayedPhoto

MAX_PHOTOS = 1000
"""Photos kept of one browser, at some 300 kB each; the oldest are dropped first."""
MAX_SESSIONS = 16
"""Browsers whose photos are kept; the ones that were unused for the longest time are dropped first."""


class Session:
    """The photos of one browser, in memory only; thread-safe."""

    def __init__(self, controller: PageController) -> None:
        """Start without photos."""
        self._controller = controller
        self._lock = threading.Lock()
        self._photos: dict[str, DisplayedPhoto] = {}

    def add(self, data: bytes, name: str) -> str:
        """Identify the faces of a photo and keep it.

        Args:
            data: bytes of the photo's file.
            name: file name of the photo.

        Returns:
            The key of the photo, which cannot be guessed.

        Raises:
            PhotoError: the photo cannot be read, or is too large.
            GalleryError: the gallery cannot be read any more.
        """
        photo = self._controller.identify(data, name)
        key = secrets.token_urlsafe(8)
        with self._lock:
            self._photos[key] = photo
            while len(self._photos) > MAX_PHOTOS:
                del self._photos[next(iter(self._photos))]
        return key

    def photo(self, key: str) -> DisplayedPhoto | None:
        """Return the photo of a key; None: it was never opened here, or was dropped."""
        return self._photos.get(key)

    def photos(self) -> dict[str, DisplayedPhoto]:
        """Return the photos by key, in the order in which they were opened."""
        with self._lock:
            return dict(self._photos)

    def refresh(self) -> None:
        """Identify the faces of all photos again, with the gallery as it is now.

        Raises:
            GalleryError: the gallery cannot be read any more.
        """
        photos = self.photos()
        reidentified = dict(zip(photos, self._controller.reidentify(list(photos.values())), strict=True))
        with self._lock:
            self._photos = {key: reidentified.get(key, photo) for key, photo in self._photos.items()}


class SessionStore:
    """The sessions of all browsers, by the token of `SessionCookie`."""

    def __init__(self, controller: PageController) -> None:
        """Start without sessions."""
        self._controller = controller
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def find(self, token: str) -> Session | None:
        """Return the session of a token; None: there is none, or it was dropped."""
        return self._sessions.get(token)

    def open(self, token: str) -> Session:
        """Return the session of a token, a new one if there is none."""
        session = self._sessions.setdefault(token, Session(self._controller))
        self._sessions.move_to_end(token)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session
