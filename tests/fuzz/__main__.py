"""Check every format, each in a fork of this process, which has no threads; print the failures as JSON.

python -m fuzz FOLDER
"""

import json
import sys
from pathlib import Path

from fuzz.all_formats import FORMATS
from fuzz.limited import check_format

failures = {}
for name, form in FORMATS.items():
    folder = Path(sys.argv[1]) / name.replace(" ", "-")
    folder.mkdir()
    try:
        check_format(name, form.inputs(), form.read, form.cost, folder)
    except AssertionError as error:
        failures[name] = str(error)
print(json.dumps(failures))
