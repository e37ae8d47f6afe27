"""Overwrite the unused space inside the pages of an SQLite database with zeros.

`PRAGMA secure_delete` overwrites what is deleted, but not the copies that SQLite leaves where it moves rows between
pages: half of the pages of a changed index have some. This module overwrites the gap between the cell pointers and the
cells of each B-tree page, which SQLite never reads (https://www.sqlite.org/fileformat2.html, sections 1.6 and 4.2).
"""

import os
from collections.abc import Iterable
from pathlib import Path

# Types of B-tree pages with the sizes of their headers: interior and leaf pages of indexes, and of tables.
_HEADER_SIZES = {2: 12, 5: 12, 10: 8, 13: 8}
_DATABASE_HEADER = 100  # on the first page, before that of the page
_WAL_HEADER, _FRAME_HEADER = 32, 24
# Other pages begin with the number of a page in four bytes. Below this number its first byte is no type of a B-tree.
_MAX_PAGES = 1 << 25


def read_log_pages(log: Path, page_size: int) -> set[int]:
    """Return the numbers of the pages in a write-ahead log, from 1; none without a log."""
    try:
        content = log.read_bytes()
    except FileNotFoundError:
        return set()
    frames = range(_WAL_HEADER, len(content) - _FRAME_HEADER + 1, _FRAME_HEADER + page_size)
    return {int.from_bytes(content[start : start + 4], "big") for start in frames}


def clear_free_space(path: Path, page_size: int, pages: Iterable[int] | None = None) -> None:
    """Overwrite the gaps of the pages of a database; nobody may change it meanwhile, and its log must be empty.

    Args:
        path: the database.
        page_size: bytes of a page.
        pages: numbers of the pages, from 1; None: all.
    """
    with path.open("r+b", buffering=0) as file:
        count = min(os.fstat(file.fileno()).st_size // page_size, _MAX_PAGES)
        for number in range(1, count + 1) if pages is None else sorted(pages):
            if not 1 <= number <= count:
                continue
            start = (number - 1) * page_size
            page = os.pread(file.fileno(), page_size, start)
            first, last = _find_gap(page, _DATABASE_HEADER if number == 1 else 0)
            if page[first:last].strip(b"\0"):
                os.pwrite(file.fileno(), bytes(last - first), start + first)
        os.fsync(file.fileno())


def _find_gap(page: bytes, header: int) -> tuple[int, int]:
    """Return the first and the last position + 1 of the gap of a page; both 0 where the page is of another kind."""
    size = _HEADER_SIZES.get(page[header])
    if size is None:
        return 0, 0
    cells = int.from_bytes(page[header + 3 : header + 5], "big")
    content = int.from_bytes(page[header + 5 : header + 7], "big") or 65536
    first = header + size + 2 * cells
    return (first, content) if first <= content <= len(page) else (0, 0)
