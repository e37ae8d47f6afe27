"""Each damaged file is read, or refused by an `OnelookError` of one line, in bounded memory and time."""

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the limits of the process are those of Linux", allow_module_level=True)

from fuzz import formats, gallery_formats, packed_formats
from fuzz.limited import check_format

FORMATS = {**formats.FORMATS, **packed_formats.FORMATS, **gallery_formats.FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    check_format(name, form.inputs(), form.read, form.cost, tmp_path)
