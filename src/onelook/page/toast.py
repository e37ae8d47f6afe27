"""Messages at the lower edge of the page: what was done, with Undo, and what went wrong."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from nicegui import background_tasks, html

from onelook.page.components import button

SECONDS = 12.0
"""Seconds after which a message about a success disappears, and with it the data that Undo needs. Errors stay."""


class Toast:
    """The one message that a browser tab shows."""

    def __init__(self) -> None:
        """Build the element in the current NiceGUI client; it is empty at first."""
        self._is_held = False
        self._container = html.div(role="status").classes("toasts")
        for event, is_held in (("mouseenter", True), ("mouseleave", False), ("focusin", True), ("focusout", False)):
            self._container.on(event, lambda is_held=is_held: self._hold(is_held), args=[])
        self._expiry: asyncio.Task[None] | None = None

    def show(self, text: str, undo: Callable[[], Awaitable[None]] | None = None) -> None:
        """Show for some seconds what was done; longer, while the pointer or the focus is on the message.

        Args:
            text: the message.
            undo: called by the button Undo; None: there is no button.
        """
        self._show(text, "toast")
        with self._card:
            if undo is not None:
                button("Undo", undo, "link")
            button("×", self.clear, "close", **{"aria-label": "Dismiss"})
        self._expiry = background_tasks.create(self._expire(), name="expiry of a message")

    def show_error(self, text: str, details: Sequence[str] = ()) -> None:
        """Show what went wrong, until it is dismissed or followed by another message.

        Args:
            text: the message.
            details: lines that are shown on request.
        """
        self._show(text, "toast error")
        with self._card:
            if details:
                with html.details():
                    html.summary("Show which")
                    with html.ul():
                        for line in details:
                            html.li(line)
            button("×", self.clear, "close", **{"aria-label": "Dismiss"})

    def clear(self) -> None:
        """Remove the message."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._container.clear()

    def _show(self, text: str, classes: str) -> None:
        self.clear()
        with self._container, html.div().classes(classes) as self._card:
            html.span(text).classes("text")

    def _hold(self, is_held: bool) -> None:
        self._is_held = is_held

    async def _expire(self) -> None:
        await asyncio.sleep(SECONDS)
        while self._is_held:
            await asyncio.sleep(1)
        self._expiry = None
        if not self._container.is_deleted:
            self.clear()
