"""End-to-end test of the page: `onelook serve` in its own process, and Chromium without a network."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest

from helpers.portraits import group
from onelook.data.image_io import decode_image, encode_image
from onelook.gallery import storage
from onelook.gallery.data import GalleryData
from onelook.gallery.gallery import create_gallery, open_gallery

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs Chromium (Debian's package `chromium`), which is not on the PATH", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is not installed")
expect = playwright.expect
expect.set_options(timeout=15_000)

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
    server.wait(60)
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
    """Open the page in a new browser, with only Ada enrolled; check that it requests nothing from other hosts."""
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
    expect(tab.get_by_role("heading", level=1)).to_have_text("Who is in your photos?")
    yield tab
    tab.close()
    assert {urlsplit(url).netloc for url in requested if not url.startswith("data:")} == {urlsplit(address).netloc}
    assert len(requested) > 5
    assert errors == []


def as_file(photo: bytes, name: str) -> dict[str, object]:
    return {"name": name, "mimeType": "image/png", "buffer": photo}


def upload(page: "playwright.Page", *photos: bytes, name: str = "photo.png") -> None:
    files = [as_file(photo, f"{i}{name}" if len(photos) > 1 else name) for i, photo in enumerate(photos)]
    page.locator(".chooser.files").set_input_files(files)


def dispatch_files(page: "playwright.Page", event: str, files: dict[str, bytes]) -> None:
    """Drop or paste files by dispatching the browser's event."""
    page.evaluate(
        """([kind, files]) => {
            const transfer = new DataTransfer();
            for (const [name, data] of Object.entries(files)) {
                const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: name.endsWith(".png") ? "image/png" : "" }));
            }
            const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
            const event = kind === "drop" ? new DragEvent(kind, options) : new ClipboardEvent(kind, options);
            document.body.dispatchEvent(event);
        }""",
        [event, {name: base64.b64encode(data).decode() for name, data in files.items()}],
    )


def expect_title(page: "playwright.Page", title: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def expect_message(page: "playwright.Page", text: str | re.Pattern[str]) -> None:
    expect(page.locator(".toast .text")).to_have_text(text)


def name_field(page: "playwright.Page") -> "playwright.Locator":
    return page.get_by_label("Who is this?")


def test_faces_are_linked_named_and_kept_by_the_url(page: "playwright.Page", served: tuple[str, Path]) -> None:
    upload(page, group((ADA, 2), (BOB, 1)))
    expect_title(page, "Ada and 1 not recognized")
    expect(page.locator(".box .tag")).to_have_text(["Ada"])
    expect(page.locator(".row .detail").first).to_have_text(re.compile(r"^(over )?\d+% sure$"))
    expect(page.get_by_title(re.compile(r"^similarity 0\.\d\d$"))).to_have_count(1)
    photo = page.locator(".photo").bounding_box()
    assert photo is not None
    boxes = sorted((page.locator(".box").nth(i).bounding_box() for i in range(2)), key=lambda box: box["x"])
    for half, box in enumerate(boxes):  # each box lies over its half of the displayed photo
        middle = (box["x"] + box["width"] / 2 - photo["x"]) / photo["width"]
        assert 0.5 * half < middle < 0.5 * half + 0.5
        assert box["width"] > 0.15 * photo["width"]

    linked = page.locator(".box.linked")
    page.locator(".row").first.hover()
    expect(linked).to_have_attribute("aria-label", "1 Ada")
    page.locator(".brand").hover()
    expect(linked).to_have_count(0)
    page.get_by_role("button", name="2 Not recognized").click()
    expect(name_field(page)).to_be_focused()
    expect(linked).to_have_attribute("aria-label", "2 Not recognized")
    page.keyboard.type("Bob")
    page.keyboard.press("Enter")
    expect_message(page, "Bob has 1 picture now")
    expect_title(page, "Ada and Bob")
    assert open_gallery(served[1]).people() == {"Ada": 1, "Bob": 1}
    page.get_by_role("button", name="Undo").click()
    expect_message(page, "Undone")
    expect_title(page, "Ada and 1 not recognized")
    assert open_gallery(served[1]).people() == {"Ada": 1}

    name_field(page).fill("Bob")
    page.get_by_role("button", name="Name").click()
    expect_title(page, "Ada and Bob")
    page.reload()
    expect_title(page, "Ada and Bob")
    page.get_by_role("link", name="People").click()
    expect(page.locator(".person .name")).to_have_text(["Ada", "Bob"])
    page.wait_for_function("[...document.querySelectorAll('.person img')].every((each) => each.naturalWidth === 96)")
    page.go_back()
    expect_title(page, "Ada and Bob")


def test_a_wrong_name_is_withdrawn_also_in_the_next_photo(page: "playwright.Page", served: tuple[str, Path]) -> None:
    upload(page, group((ADA, 2)))
    page.get_by_role("button", name="Wrong: this is not Ada").click()
    expect_message(page, re.compile("^This is not Ada"))
    expect_title(page, "Not recognized")
    expect(page.locator(".row .detail")).to_have_text("Not Ada, as you said")
    assert len(storage.read(served[1]).rejections) == 1
    page.get_by_role("button", name="Undo").click()
    expect_title(page, "Ada")


def test_many_photos_are_added_at_once_and_their_unknown_people_named_in_one_click(
    page: "playwright.Page", served: tuple[str, Path]
) -> None:
    photos = {f"{i}.png": group(*people) for i, people in enumerate([[(ADA, 2), (BOB, 1)], [(BOB, 2)], [(EVE, 1)]])}
    files = {**photos, "notes.txt": b"text", "cut.png": photos["1.png"][:-500]}
    dispatch_files(page, "drop", files)
    expect_message(page, "cut.png: truncated or damaged; copy it again from its source")
    expect_title(page, "3 photos")
    expect(page.locator(".tile .name")).to_have_text(["Ada and 1 not recognized", "Not recognized", "Not recognized"])
    dispatch_files(page, "paste", {"image.png": group((BOB, 3))})
    expect_title(page, "Not recognized")
    expect(page.locator(".neighbors")).to_contain_text("4 of 4")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".neighbors")).to_contain_text("3 of 4")

    page.get_by_role("link", name="Unknown").click()
    expect(page.locator(".group h2")).to_have_text(["Seen 3 times"])
    choices = page.locator(".group input[type=checkbox]")
    choices.nth(2).uncheck()
    page.locator(".group").get_by_label("Who is this?").fill("Bob")
    page.locator(".group").get_by_role("button", name="Name").click()
    expect_message(page, "Bob has 2 pictures now")
    expect(page.locator(".group")).to_have_count(0)
    expect(page.get_by_text("1 seen once")).to_be_visible()
    assert open_gallery(served[1]).people() == {"Ada": 1, "Bob": 2}


def test_a_person_is_renamed_merged_and_forgotten(page: "playwright.Page", served: tuple[str, Path]) -> None:
    upload(page, group((ADA, 3), (BOB, 1)))
    for name in ("Ada", "Bob"):
        if name == "Ada":
            page.get_by_role("link", name="Ada").click()
            page.get_by_label("New name").fill("Ada Lovelace")
            page.get_by_role("button", name="Rename").click()
            expect_title(page, "Ada Lovelace")
            page.go_back()
            page.go_back()
        else:
            name_field(page).fill(name)
            page.keyboard.press("Enter")
    expect_title(page, "Ada Lovelace and Bob")
    page.get_by_role("link", name="Bob").click()
    page.get_by_label("Name of the other one").fill("Ada Lovelace")
    page.get_by_role("button", name="Merge").click()
    expect_title(page, "Ada Lovelace")
    expect(page.locator(".pictures img")).to_have_count(2)
    page.get_by_role("button", name="Remove picture photo.png").click()
    expect_message(page, "Ada Lovelace has 1 picture now")
    page.get_by_role("button", name="Forget Ada Lovelace").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".q-dialog")).to_have_count(0)
    assert open_gallery(served[1]).people() == {"Ada Lovelace": 1}
    page.get_by_role("button", name="Forget Ada Lovelace").click()
    page.locator(".q-dialog").get_by_role("button", name="Forget").click()
    expect_title(page, "Nobody is enrolled yet")
    assert not any(b"Ada" in path.read_bytes() for path in served[1].iterdir())
    page.get_by_role("button", name="Undo").click()
    expect_title(page, "Ada Lovelace")


def test_names_are_never_rendered_as_markup(page: "playwright.Page") -> None:
    upload(page, group((CARL, 1)), name=f"{MARKUP}.png")
    name_field(page).fill(MARKUP)
    name_field(page).press("Enter")
    expect_title(page, MARKUP)
    expect(page.locator(".tag")).to_have_text(MARKUP)
    expect_message(page, f"{MARKUP} has 1 picture now")
    assert page.title() == f"{MARKUP}.png – onelook"
    upload(page, b"no photo", name=f"{MARKUP}.png")
    expect_message(page, re.compile(f"^{re.escape(MARKUP)}.png: not a photo"))
    page.get_by_role("link", name="People").click()
    expect(page.locator(".person .name")).to_have_text([MARKUP, "Ada"])
    page.locator(".person").first.click()
    expect_title(page, MARKUP)
    page.get_by_role("button", name="Forget").click()
    expect(page.locator(".q-dialog h2")).to_have_text(f"Forget {MARKUP}?")
    assert page.title() == "Person – onelook"
    assert page.locator("img[src=x]").count() == 0


def test_an_error_is_shown_and_the_page_stays_usable(page: "playwright.Page", served: tuple[str, Path]) -> None:
    upload(page, bytes(2**20 + 1), name="large.png")
    expect_message(page, "large.png: more than 1 MiB; scale it down, or start the page with a larger --max-upload")
    upload(page, b"a", b"b")
    expect_message(page, "2 files cannot be used.")
    expect(page.locator(".toast li")).to_have_count(2)
    upload(page, group((CARL, 1)))
    expect_title(page, "Not recognized")
    expect(page.locator(".toast")).to_have_count(0)
    page.get_by_role("button", name="Name").click()
    expect_message(page, "the name is empty; give the person's name")
    name_field(page).fill("Unknown")
    page.get_by_role("button", name="Name").click()
    expect_message(page, re.compile("reserved"))
    expect(name_field(page)).to_have_value("Unknown")
    shutil.rmtree(served[1])  # and the first name creates a gallery again
    name_field(page).fill("Carl")
    page.get_by_role("button", name="Name").click()
    expect_title(page, "Carl")
    assert open_gallery(served[1]).people() == {"Carl": 1}


def test_changes_by_another_process_are_shown_and_a_managed_gallery_is_read_only(
    page: "playwright.Page", served: tuple[str, Path]
) -> None:
    upload(page, group((ADA, 2), (BOB, 1)))
    expect_title(page, "Ada and 1 not recognized")
    open_gallery(served[1]).rename("Ada", "Ada Lovelace")
    page.reload()
    expect_title(page, "Ada Lovelace and 1 not recognized")
    contents = storage.read(served[1])
    managed = GalleryData(contents.metadata.model_copy(update={"managed": True}), contents.faces, contents.embeddings)
    storage.create(served[1], managed, replace=True)
    page.reload()
    expect(page.locator(".notice")).to_contain_text("nobody can be named or forgotten here")
    expect_title(page, "Ada Lovelace and 1 not recognized")
    expect(page.locator("form, .row button")).to_have_count(0)
    page.get_by_role("link", name="Unknown").click()
    expect_title(page, "Who are these people?")
    expect(page.locator("form")).to_have_count(0)
    page.get_by_role("link", name="People").click()
    page.locator(".person").click()
    expect_title(page, "Ada Lovelace")
    expect(page.locator("form, .pictures button")).to_have_count(0)


def test_a_rebound_host_name_and_another_browser_are_refused(
    page: "playwright.Page", browser: "playwright.Browser", served: tuple[str, Path]
) -> None:
    upload(page, group((ADA, 2)))
    expect_title(page, "Ada")
    foreign = browser.new_page()
    response = foreign.goto(served[0].replace("127.0.0.1", "rebound.example"))
    assert response is not None and response.status == 403
    assert "refused" in foreign.inner_text("body")
    foreign.goto(page.url)
    expect_title(foreign, "This photo is no longer in memory")
    assert foreign.request.get(f"{page.url}/image").status == 404
    assert page.request.get(f"{page.url}/image").status == 200
    foreign.close()
    page.get_by_role("link", name="People").click()
    picture = page.locator(".person img").evaluate("(image) => image.src")
    assert page.request.get(picture).status == 200
    with pytest.raises(HTTPError, match="404"):  # as another web page gets it, whose requests carry no cookie
        urlopen(picture)


def enroll_many(folder: Path, count: int) -> None:
    """Add people to a gallery, all with the face of the one who is enrolled."""
    contents = storage.read(folder)
    row = contents.faces[0]
    entries = [row.model_copy(update={"person": f"Person {i:04d}", "sha256": f"{i:064x}"}) for i in range(count)]
    many = GalleryData(contents.metadata, (row, *entries), np.repeat(contents.embeddings, count + 1, axis=0))
    storage.create(folder, many, replace=True)


def test_many_people_are_shown_in_steps_and_searchable(page: "playwright.Page", served: tuple[str, Path]) -> None:
    enroll_many(served[1], 600)
    page.get_by_role("link", name="People").click()
    names = page.locator(".person .name")
    expect(names).to_have_count(240)
    page.get_by_role("button", name="361 more").click()
    expect(names).to_have_count(480)
    expect(names.last).to_have_text("Person 0478")
    page.get_by_label("Find somebody").fill("PERSON 0599")
    expect(names).to_have_text(["Person 0599"])
    page.get_by_label("Find somebody").fill("nobody")
    expect(page.get_by_text("Nobody of that name is enrolled.")).to_be_visible()


def axe_script() -> str:
    """Return the source of axe-core, which axe-playwright-python carries."""
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("needs axe-core: pip install axe-playwright-python")
    return Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")


def test_axe_finds_nothing_on_a_screen_and_on_a_phone_in_light_and_in_dark(
    page: "playwright.Page", served: tuple[str, Path]
) -> None:
    script = axe_script()
    crowd = decode_image(group(*[(person, 2) for person in (ADA, *range(1, 7))]), "crowd")
    crowd = np.concatenate([crowd, crowd[:, ::-1]])
    wall = encode_image(np.full((300, 300, 3), 127, np.uint8), ".png")

    def check(situation: str) -> None:
        for scheme, width in (("light", 1200), ("dark", 390)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 844})
            expect(page.locator(f"body.body--{scheme}")).to_be_visible()
            page.wait_for_timeout(250)  # until transitions of colors have ended
            page.evaluate(script)
            found = page.evaluate("axe.run({ resultTypes: ['violations'] }).then((result) => result.violations)")
            problems = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]
            assert problems == [], f"{situation}, {scheme}: {json.dumps(problems, indent=1)}"
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), situation

    def show_people() -> None:
        enroll_many(served[1], 200)
        page.get_by_role("link", name="People").click()

    check("no photo")
    situations: dict[str, tuple[Callable[[], object], str]] = {
        "one portrait": (lambda: upload(page, group((BOB, 1))), ".row form"),
        "a group": (lambda: upload(page, encode_image(crowd, ".jpg"), name="crowd.jpg"), ".others"),
        "its other faces": (lambda: page.locator(".others summary").click(), ".choice img"),
        "nothing found": (lambda: upload(page, wall), "h1:text('No face found')"),
        "a photo and an error": (lambda: upload(page, group((BOB, 2)), wall[:9]), ".toast.error"),
        "unknown people": (lambda: page.get_by_role("link", name="Unknown").click(), ".group img"),
        "200 people": (show_people, ".person >> nth=200"),
        "one person": (lambda: page.locator(".person").first.click(), ".pictures img"),
        "a question": (lambda: page.get_by_role("button", name="Forget").click(), ".q-dialog"),
    }
    for situation, (reach, shown) in situations.items():
        reach()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(shown).first).to_be_visible()
        check(situation)
