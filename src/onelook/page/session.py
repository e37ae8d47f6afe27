"""Sessions: the photos that one browser has opened, shared by its tabs and kept while pages are reloaded."""

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence

from onelook.page.controller import PageController
from onelook.page.photos import DisplayedPhoto, Face
from onelook.page.unknown_groups import UnknownFaces

MAX_PHOTOS = 1000
"""Photos kept of one browser, at some 200 kB each; the oldest are dropped first."""
MAX_SESSIONS = 16
"""Browsers whose photos are kept; those without photos are dropped first, then the longest unused ones."""


class Session:
    """The photos of one browser, in memory only; thread-safe."""

    def __init__(self, controller: PageController) -> None:
        """Start without photos."""
        self._controller = controller
        self._lock = threading.Lock()
        self._secret = secrets.token_bytes(16)
        self._photos: dict[str, DisplayedPhoto] = {}
        self._version: object = None
        self._groups: tuple[list[DisplayedPhoto], UnknownFaces] | None = None

    def add(self, data: bytes, name: str) -> str:
        """Identify the faces of a photo and keep it; the same file is kept once.

        Args:
            data: bytes of the photo's file.
            name: file name of the photo.

        Returns:
            The key of the photo, which cannot be guessed.

        Raises:
            PhotoError: the photo cannot be read, or is too large.
            GalleryError: the gallery cannot be read any more.
        """
        key = hashlib.blake2b(data, key=self._secret, digest_size=8).hexdigest()
        if key not in self._photos:
            photo = self._controller.identify(data, name, key)
            with self._lock:
                self._photos[key] = photo
                while len(self._photos) > MAX_PHOTOS:
                    del self._photos[next(iter(self._photos))]
        return key

    def photo(self, key: str) -> DisplayedPhoto | None:
        """Return the photo of a key; None: it was never opened here, or was dropped."""
        return self._photos.get(key)

    def photos(self) -> list[DisplayedPhoto]:
        """Return the photos in the order in which they were opened."""
        with self._lock:
            return list(self._photos.values())

    def faces(self, keys: Sequence[str]) -> list[Face]:
        """Return the faces of these keys, without those whose photos were dropped."""
        photos = {key.rsplit("-", 1)[0] for key in keys} & self._photos.keys()
        found = {face.key: face for photo in photos for face in self._photos[photo].faces}
        return [found[key] for key in keys if key in found]

    def close_photos(self) -> None:
        """Drop all photos."""
        with self._lock:
            self._photos.clear()

    def refresh(self) -> None:
        """Identify the faces of all photos again if the gallery has changed.

        Raises:
            GalleryError: the gallery cannot be read any more.
        """
        version = self._controller.version()
        if version != self._version:
            photos = self._controller.reidentify(self.photos())
            with self._lock:
                self._photos |= {photo.key: photo for photo in photos if photo.key in self._photos}
            self._version = version

    def unknown_faces(self) -> UnknownFaces:
        """Group the unrecognized faces of all photos, anew if photos or names have changed."""
        photos = self.photos()
        if self._groups is None or self._groups[0] != photos:
            self._groups = photos, self._controller.group_unknown(photos)
        return self._groups[1]


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
            others = [other for other in self._sessions if other != token]
            # A program that fetches the page now and then keeps no cookie; its sessions must not displace photos.
            without_photos = (other for other in others if not self._sessions[other].photos())
            del self._sessions[next(without_photos, others[0])]
        return session
