"""Rewrite a table of benchmarks/reliability.md.

    python benchmarks/reliability.py fuzz [--examples 2000]
    python benchmarks/reliability.py faults [--kills 1000]

`fuzz` runs `tests/fuzz` with so many inputs per quick format, and fewer for formats that are slow to read. `faults`
runs `faults.py`. A table is written even where something was found, and the exit code is then 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine_info import current_commit, describe_machine

from onelook.files import write_text

FOLDER = Path(__file__).resolve().parent
DOCUMENT = FOLDER / "reliability.md"


def run_fuzz(examples: int) -> tuple[str, int]:
    """Run the fuzz tests; return their table and exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        environment = {**os.environ, "ONELOOK_FUZZ": str(examples), "ONELOOK_FUZZ_REPORT": str(report)}
        command = [sys.executable, "-m", "pytest", "-q", "tests/fuzz"]
        code = subprocess.run(command, cwd=FOLDER.parent, env=environment, stdout=sys.stderr).returncode
        counts = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    rows = ["| format | inputs | read | refused in one line | peak memory, MB |", "|---|---|---|---|---|"]
    rows += [
        f"| {each['format']} | {each['inputs']} | {each.get('read', 0)} | {each.get('refused', 0)} | "
        f"{each['megabytes']} |"
        for each in counts
    ]
    total = {key: sum(each.get(key, 0) for each in counts) for key in ("inputs", "read", "refused")}
    rows.append(f"| **all** | {total['inputs']} | {total['read']} | {total['refused']} | |")
    outcome = "no crash, no hang, no other exception" if code == 0 else "see the output: a format failed"
    return "\n".join([*rows, "", f"Outcome: {outcome}."]), code


def run_faults(kills: int) -> tuple[str, int]:
    """Run the campaign of faults; return its table and exit code."""
    command = [sys.executable, str(FOLDER / "faults.py"), "--kills", str(kills)]
    done = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip(), done.returncode


def replace_section(name: str, text: str, command: str) -> None:
    """Replace what is between the markers of a section of the document."""
    content = DOCUMENT.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
    before, _, rest = content.partition(start)
    _, _, after = rest.partition(end)
    machine, commit = describe_machine()["processor"], current_commit(FOLDER.parent, DOCUMENT)
    where = f"`{command}`, {machine}, {time.strftime('%Y-%m-%d')}, {commit}"
    write_text(DOCUMENT, f"{before}{start}\n{where}\n\n{text}\n\n{end}{after}")


def main() -> None:
    """Run a campaign and rewrite its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", choices=("fuzz", "faults"))
    parser.add_argument("--examples", type=int, default=2000, help="inputs of a quick format")
    parser.add_argument("--kills", type=int, default=1000, help="least number of kills in all")
    arguments = parser.parse_args()
    if arguments.campaign == "fuzz":
        table, code = run_fuzz(arguments.examples)
        command = f"make fuzz FUZZ={arguments.examples}"
    else:
        table, code = run_faults(arguments.kills)
        command = f"make faults KILLS={arguments.kills}"
    if not table:
        sys.exit(f"{arguments.campaign}: printed no table")
    replace_section(arguments.campaign, table, command)
    sys.exit(code)


if __name__ == "__main__":
    main()
