"""Make the pictures of the page in the docs: `onelook serve` in Chromium, with portraits and groups composed of them.

python docs/pictures/make_page.py --data ../shared/data      # writes docs/pictures/page_*.jpg

Portraits: Face Research Lab London Set, DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0.
Everyone in it consented to being shown. The names are invented.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from make_group import NAMES, paste, studio
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from onelook.data.image_io import read_image
from onelook.gallery.gallery import create_gallery

STRANGERS = ("006", "024", "037")
"""Portraits that are not enrolled."""
PARTY = (
    ("001_smiling", "008_smiling", "042_smiling", "003_smiling", "005_smiling", "024_smiling"),
    ("002_smiling", "037_smiling", "025_smiling", "030_smiling", "006_smiling", "043_smiling"),
    ("005_neutral", "030_neutral", "001_neutral", "043_neutral", "008_neutral", "037_neutral"),
)
"""Rows of people, from the back to the front."""
OTHERS = {"picnic": ("006_neutral", "024_neutral", "042_neutral"), "boat": ("024_smiling", "006_smiling")}
SPACING, HEAD = 285, 210  # between neighbors of a row, and from crown to chin, in pixels


def main() -> None:
    """Enroll people, compose photos, serve the page, use it, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds portraits/")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    portraits: Path = arguments.data / "portraits"
    with tempfile.TemporaryDirectory() as folder:
        gallery = create_gallery(Path(folder) / "gallery")
        for number, name in NAMES.items():
            if number not in STRANGERS:
                gallery.enroll(name, [portraits / f"{number}_neutral.jpg"])
        photos = [_write(Path(folder) / f"{name}.jpg", compose(portraits, [row])) for name, row in OTHERS.items()]
        photos.append(_write(Path(folder) / "party.jpg", compose(portraits, PARTY)))
        command = [sys.executable, "-c", "from onelook.cli import main; main()", "serve", "--port", "0"]
        with subprocess.Popen(
            [*command, "--gallery", "gallery"], stdout=subprocess.PIPE, text=True, cwd=folder
        ) as server:
            try:
                line = server.stdout.readline() if server.stdout else ""
                address = re.search(r"http://\S+", line)
                if address is None:
                    raise SystemExit(f"onelook serve did not start: {line}")
                expect.set_options(timeout=60_000)
                with sync_playwright() as tool:
                    browser = tool.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
                    _take_screen(browser, address[0], photos, arguments.out)
                    _take_phone(browser, address[0], photos[-1], arguments.out)
                    browser.close()
            finally:
                server.terminate()


def compose(portraits: Path, rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Compose a group photo of rows of portraits, RGB uint8, the back row first."""
    canvas = studio(height=520 + 270 * (len(rows) - 1), width=SPACING * max(map(len, rows)) + 90)
    for number, row in enumerate(rows):
        first = canvas.shape[1] / 2 - SPACING * (len(row) - 1) / 2
        for column, portrait in enumerate(row):
            paste(canvas, read_image(portraits / f"{portrait}.jpg"), first + SPACING * column, 60 + 270 * number, HEAD)
    return canvas.round().astype(np.uint8)


def _write(path: Path, image: np.ndarray) -> Path:
    Image.fromarray(image).save(path, quality=92)
    return path


def _take_screen(browser: Browser, address: str, photos: Sequence[Path], out: Path) -> None:
    page = browser.new_page(viewport={"width": 1040, "height": 640})
    page.goto(address)
    page.locator(".chooser.files").set_input_files(photos)
    expect(page.locator(".tile")).to_have_count(len(photos))
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_role("link", name="party.jpg").click()
    expect(page.locator(".row")).not_to_have_count(0)
    page.locator(".row").nth(4).hover()
    _picture(page, out / "page_group.jpg")
    page.get_by_role("link", name="Unknown").click()
    expect(page.locator(".group")).not_to_have_count(0)
    _picture(page, out / "page_unknown.jpg")
    page.emulate_media(color_scheme="dark")
    page.get_by_role("link", name="People").click()
    expect(page.locator(".person")).not_to_have_count(0)
    _picture(page, out / "page_people.jpg")
    page.close()


def _take_phone(browser: Browser, address: str, photo: Path, out: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 640}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.goto(address)
    page.locator(".chooser.files").set_input_files(photo)
    expect(page.locator(".row")).not_to_have_count(0)
    _picture(page, out / "page_phone.jpg")
    context.close()


def _picture(page: Page, path: Path) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(800)  # until what moves has come to rest
    page.screenshot(path=path, type="jpeg", quality=82)


if __name__ == "__main__":
    main()
