"""The pictures of the page in the README: `onelook serve` used in Chromium, on the scenes that `make repro` leaves.

python docs/pictures/make_page.py            # writes docs/pictures/page_*.jpg

The faces are the ORL database's (AT&T Laboratories Cambridge), the backgrounds scikit-image's; the names are invented.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from onelook.gallery.gallery import create_gallery

ENROLLED = {"orl-s13": "Walter", "orl-s22": "Henry", "orl-s14": "George"}
FIRST, NEXT = "images/test/scene-00102.jpg", "images/test/scene-00045.jpg"
NAMED = "Samuel"


def main() -> None:
    """Enroll three people, serve the page, use it, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, default=Path("build/scenes"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery"
        _enroll(arguments.scenes, gallery)
        command = [sys.executable, "-c", "from onelook.cli import main; main()", "serve", "--port", "0"]
        with subprocess.Popen(
            [*command, "--gallery", "gallery"], stdout=subprocess.PIPE, text=True, cwd=folder
        ) as server:
            try:
                line = server.stdout.readline() if server.stdout else ""
                address = re.search(r"http://\S+", line)
                if address is None:
                    raise SystemExit(f"onelook serve did not start: {line}")
                _take(address[0], arguments.scenes, arguments.out)
            finally:
                server.terminate()


def _enroll(scenes: Path, gallery: Path) -> None:
    lines = [json.loads(line) for line in (scenes / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    opened = create_gallery(gallery)
    for identity, name in ENROLLED.items():
        shown = [each for each in lines if each["role"] == "enroll" and each["faces"][0]["identity"] == identity]
        opened.enroll(name, [scenes / each["image"] for each in shown])


def _take(address: str, scenes: Path, out: Path) -> None:
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 1000})
        page.goto(address)
        page.locator(".chooser").set_input_files(scenes / FIRST)
        _picture(page, out / "page_drop.jpg", lambda: expect(page.locator(".face")).not_to_have_count(0))
        unknown = page.locator(".face", has=page.get_by_text("unknown", exact=True)).first
        unknown.get_by_label("Who is this?").fill(NAMED)
        unknown.get_by_role("button", name="Name").click()
        expect(page.locator(".face .name", has_text=NAMED)).to_be_visible()
        page.locator(".chooser").set_input_files(scenes / NEXT)
        _picture(page, out / "page_next.jpg", lambda: expect(page.get_by_role("status")).to_be_hidden())
        page.get_by_role("tab", name="People").click()
        _picture(page, out / "page_people.jpg", lambda: expect(page.locator(".person")).to_have_count(4))
        page.locator(".person", has_text=NAMED).get_by_role("button", name="Forget").click()
        page.locator(".q-dialog").get_by_role("button", name="Forget").click()
        expect(page.locator(".person")).to_have_count(3)
        page.get_by_role("tab", name="Photo").click()
        _picture(
            page, out / "page_forgotten.jpg", lambda: expect(page.locator(".tag", has_text=NAMED)).to_have_count(0)
        )
        browser.close()


def _picture(page: Page, path: Path, ready: Callable[[], None]) -> None:
    ready()
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # until what moves has come to rest
    page.locator(".page").screenshot(path=path, type="jpeg", quality=88)


if __name__ == "__main__":
    main()
