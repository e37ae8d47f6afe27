"""End-to-end test of the page: `onelook serve` in its own process, and Chromium without a network."""

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from helpers.portraits import group
from onelook.gallery import storage
from onelook.gallery.data import GalleryData
from onelook.gallery.gallery import create_gallery, open_gallery

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs Chromium (Debian's package `chromium`), which is not on the PATH", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is not installed")
expect = playwright.expect

pytestmark = pytest.mark.chromium
ADA, BOB, EVE, CARL = 19, 11, 14, 9
MARKUP = "<img src=x onerror=\"document.title='mine'\">"
# No host name resolves except one that resolves to this machine, as after DNS rebinding.
NAMES = "MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Serve a page with an upload limit of 1 MiB; return its address and gallery. No photo may be left on disk."""
    root = tmp_path_factory.mktemp("served")
    folder = root / "gallery"
    (root / "temporary").mkdir()
    command = [sys.executable, "-c", "from onelook.cli import main; main()", "serve", "--gallery", str(folder)]
    # NiceGUI starts differently if it detects pytest in its environment.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    server = subprocess.Popen(
        [*command, "--port", "0", "--max-upload", "1"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment | {"OMP_NUM_THREADS": "1", "TMPDIR": str(root / "temporary")},
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    address = re.match(r"onelook: (http://127\.0\.0\.1:\d+) shows ", line)
    assert address is not None, line
    yield address[1], folder
    server.send_signal(signal.SIGINT)
    server.wait(20)
    assert list((root / "temporary").iterdir()) == []
    assert {path.name for path in root.iterdir()} == {"gallery", ".gallery.lock", "temporary"}


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as tool:
        started = tool.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules={NAMES}"]
        )
        yield started
        started.close()


@pytest.fixture
def page(browser: "playwright.Browser", served: tuple[str, Path], tmp_path: Path) -> Iterator["playwright.Page"]:
    """Open the page in a new tab, with only Ada enrolled; check that it requests nothing from other hosts."""
    address, folder = served
    shutil.rmtree(folder, ignore_errors=True)
    (tmp_path / "ada.png").write_bytes(group((ADA, 1)))
    create_gallery(folder).enroll("Ada", [tmp_path / "ada.png"])
    tab = browser.new_page()
    tab.set_default_timeout(15_000)
    requested: list[str] = []
    errors: list[str] = []
    tab.on("request", lambda request: requested.append(request.url))
    tab.on("websocket", lambda socket: requested.append(socket.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(address)
    expect(tab.locator(".drop")).to_be_visible()
    yield tab
    tab.close()
    assert {urlsplit(url).netloc for url in requested if not url.startswith("data:")} == {urlsplit(address).netloc}
    assert len(requested) > 5
    assert errors == []


def upload(page: "playwright.Page", photo: bytes, name: str = "photo.png") -> None:
    page.locator(".chooser").set_input_files({"name": name, "mimeType": "image/png", "buffer": photo})


def dispatch_file(page: "playwright.Page", event: str, photo: bytes, name: str) -> None:
    """Drop or paste a file by dispatching the browser's event."""
    page.evaluate(
        """([kind, data, name]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type: "image/png" }));
            const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
            const event = kind === "drop" ? new DragEvent(kind, options) : new ClipboardEvent(kind, options);
            document.querySelector(".drop").dispatchEvent(event);
        }""",
        [event, base64.b64encode(photo).decode(), name],
    )


def expect_tags(page: "playwright.Page", *patterns: str) -> None:
    expect(page.locator(".box .tag")).to_have_text([re.compile(pattern) for pattern in patterns])


def test_upload_name_list_and_forget(page: "playwright.Page", served: tuple[str, Path]) -> None:
    folder = served[1]
    upload(page, group((ADA, 2), (BOB, 1)))
    expect_tags(page, r"^Ada 0\.\d\d$", "^unknown$")
    expect(page.locator(".face .name")).to_have_text(["Ada", "unknown"])
    expect(page.locator(".face .details").first).to_have_text(
        re.compile(r"^similarity 0\.\d\d, confidence (over )?\d+%$")
    )
    photo = page.locator(".photo").bounding_box()
    boxes = [page.locator(".box").nth(i).bounding_box() for i in range(2)]
    assert photo and all(boxes)
    for half, box in enumerate(boxes):  # each box lies over its half of the displayed photo
        middle = (box["x"] + box["width"] / 2 - photo["x"]) / photo["width"]
        assert 0.5 * half < middle < 0.5 * half + 0.5
        assert box["width"] > 0.15 * photo["width"]

    page.get_by_label("Who is this?").nth(1).fill("Bob")
    page.get_by_role("button", name="Name").click()
    expect(page.locator("[role=status]:visible")).to_have_text("Bob: enrolled, with 1 photo")
    expect_tags(page, "^Ada", "^Bob 1.00$")
    assert open_gallery(folder).people() == {"Ada": 1, "Bob": 1}

    dispatch_file(page, "drop", group((EVE, 1), (BOB, 2)), "next.png")
    expect_tags(page, "^unknown$", r"^Bob 0\.\d\d$")
    dispatch_file(page, "paste", group((BOB, 3)), "image.png")
    expect_tags(page, r"^Bob 0\.\d\d$")

    page.get_by_role("link", name="People").click()
    expect(page.locator(".person .name")).to_have_text(["Ada", "Bob"])
    pictures = page.locator(".person img.thumb")
    expect(pictures).to_have_count(2)
    assert pictures.evaluate_all("all => all.every((picture) => picture.naturalWidth === 96)")
    page.locator(".person", has_text="Bob").get_by_role("button", name="Forget").click()
    page.get_by_role("button", name="Keep").click()
    expect(page.locator(".q-dialog")).to_have_count(0)
    assert "Bob" in open_gallery(folder).people()
    page.locator(".person", has_text="Bob").get_by_role("button", name="Forget").click()
    page.locator(".q-dialog").get_by_role("button", name="Forget").click()
    expect(page.locator(".person .name")).to_have_text(["Ada"])
    assert not any(b"Bob" in path.read_bytes() for path in folder.iterdir())

    page.go_back()
    expect_tags(page, "^unknown$")
    page.reload()
    expect_tags(page, "^unknown$")


def test_names_are_never_rendered_as_markup(page: "playwright.Page") -> None:
    upload(page, group((CARL, 1)), f"{MARKUP}.png")
    page.get_by_label("Who is this?").fill(MARKUP)
    page.get_by_label("Who is this?").press("Enter")
    expect(page.locator(".face .name")).to_have_text(MARKUP)
    expect(page.locator("[role=status]:visible")).to_contain_text(MARKUP)
    upload(page, b"no photo", f"{MARKUP}.png")
    expect(page.locator("[role=status]:visible")).to_contain_text(f"{MARKUP}.png: not a photo")
    page.get_by_role("link", name="People").click()
    expect(page.locator(".person .name")).to_have_text([MARKUP, "Ada"])
    page.locator(".person").first.get_by_role("button", name="Forget").click()
    expect(page.locator(".q-dialog .name")).to_have_text(f"Forget {MARKUP}?")
    assert page.title() == "onelook"
    assert page.locator("img[src=x]").count() == 0


def test_an_error_is_shown_and_the_page_stays_usable(page: "playwright.Page") -> None:
    message = page.locator("[role=status]:visible")
    upload(page, group((CARL, 1))[:-500], "cut.png")
    expect(message).to_have_text("cut.png: truncated or damaged; copy it again from its source")
    upload(page, bytes(2**20 + 1), "large.png")
    expect(message).to_have_text(
        "large.png: more than 1 MiB; scale it down, or start the page with a larger --max-upload"
    )
    upload(page, group((CARL, 1)))
    expect_tags(page, "^unknown$")
    expect(message).to_have_count(0)
    page.get_by_role("button", name="Name").click()
    expect(message).to_have_text("the name is empty; give the person's name")
    page.get_by_label("Who is this?").fill("Unknown")
    page.get_by_role("button", name="Name").click()
    expect(message).to_contain_text("reserved")


def test_changes_by_another_process_are_shown(page: "playwright.Page", served: tuple[str, Path]) -> None:
    upload(page, group((ADA, 2)))
    expect_tags(page, "^Ada ")
    open_gallery(served[1]).rename("Ada", "Ada Lovelace")
    upload(page, group((ADA, 2)))
    expect_tags(page, "^Ada Lovelace ")


def test_a_managed_gallery_is_read_only(page: "playwright.Page", served: tuple[str, Path]) -> None:
    contents = storage.read(served[1])
    managed = GalleryData(contents.metadata.model_copy(update={"managed": True}), contents.faces, contents.embeddings)
    storage.create(served[1], managed, replace=True)
    upload(page, group((ADA, 2), (BOB, 1)))
    expect_tags(page, "^Ada ", "^unknown$")
    expect(page.locator(".message:visible")).to_contain_text("nobody can be named or forgotten here")
    expect(page.get_by_label("Who is this?")).to_have_count(0)
    page.get_by_role("link", name="People").click()
    expect(page.locator(".person .name")).to_have_text(["Ada"])
    expect(page.get_by_role("button", name="Forget")).to_have_count(0)


def test_a_rebound_host_name_is_refused(browser: "playwright.Browser", served: tuple[str, Path]) -> None:
    foreign = browser.new_page()
    response = foreign.goto(served[0].replace("127.0.0.1", "rebound.example"))
    assert response is not None and response.status == 403
    assert "refused" in foreign.inner_text("body")
    foreign.close()


def test_the_first_named_face_creates_a_gallery(page: "playwright.Page", served: tuple[str, Path]) -> None:
    shutil.rmtree(served[1])
    page.get_by_role("link", name="People").click()
    expect(page.locator(".empty")).to_contain_text("Nobody is enrolled yet")
    upload(page, group((CARL, 1)))
    expect(page.locator(".face .details")).to_have_text("nobody is enrolled to compare with")
    page.get_by_label("Who is this?").fill("Carl")
    page.get_by_role("button", name="Name").click()
    expect(page.locator(".face .name")).to_have_text("Carl")
    assert open_gallery(served[1]).people() == {"Carl": 1}


def test_thousands_of_people_are_shown_in_steps_and_searchable(
    page: "playwright.Page", served: tuple[str, Path]
) -> None:
    contents = storage.read(served[1])
    row = contents.faces[0]
    entries = [
        row.model_copy(update={"person": f"Person {number:04d}", "sha256": f"{number:064x}"}) for number in range(3000)
    ]
    many = GalleryData(contents.metadata, (row, *entries), np.repeat(contents.embeddings, 3001, axis=0))
    storage.create(served[1], many, replace=True)
    page.get_by_role("link", name="People").click()
    names = page.locator(".person .name")
    expect(names).to_have_count(60)
    expect(names.first).to_have_text("Ada")
    page.get_by_role("button", name="2941 more").click()
    expect(names).to_have_count(120)
    expect(names.last).to_have_text("Person 0118")
    page.get_by_label("Find somebody").fill("PERSON 2999")
    expect(names).to_have_text(["Person 2999"])
    page.get_by_label("Find somebody").fill("nobody")
    expect(page.locator(".empty:visible")).to_have_text("Nobody of that name is enrolled.")
