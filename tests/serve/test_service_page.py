"""The page in a browser, at a desk and on a phone: upload, map, search, errors, keyboard, contrast."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from film_files import PATIENT
from PIL import Image
from served import Served, served
from served_encoder import FakeEncoder, unit

from browser import CHROMIUM, needs_browser
from films import SECRETS, encoded, film
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.search.index import Index
from xlip.search.store import Records, facts_of

pytestmark = needs_browser
SIZES = {"desk": (1440, 950), "phone": (390, 844)}
TOKEN = "a-token-of-some-length"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with an index of phantoms, which asks for a token."""
    folder = tmp_path_factory.mktemp("site")
    index = Index.create(folder / "index", facts_of(FakeEncoder()))
    shown = [generate(number, size=64) for number in range(12)]
    vectors = FakeEncoder().encode_squares(np.stack([one.pixels for one in shown]))
    index.append(
        Records(
            [f"case-{number}" for number in range(12)],
            vectors,
            unit(vectors),
            [{"view": "PA", "age": 50.0 + number, "report": one.report} for number, one in enumerate(shown)],
            [encode(one.pixels) for one in shown],
        )
    )
    keys = {"XLIP_TOKENS": f"page:{TOKEN}"}
    kinds = "Cardiomegaly,Effusion,Pneumothorax,No_Finding"
    options = {"index": str(folder / "index"), "audit": str(folder / "audit"), "kinds": kinds, "timeout": 240}
    with served(
        folder / "log", keys, **options
    ) as one:  # what makes DICOM objects is imported when it is first asked for
        yield one


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("films")
    pixels = [generate(number, size=256).pixels for number in (3, 4)]
    contents = {
        f"{PATIENT}.png": encode(pixels[0], lossless=True),
        "b.dcm": encoded(film(4, size=256)),
        "bad.png": b"none",
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [str(folder / name) for name in contents]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield found
        found.close()


@pytest.fixture
def said() -> list[str]:
    """What the browser's console says."""
    return []


def opened(browser: Any, site: Served, size: tuple[int, int], said: list[str], token: str = TOKEN) -> Any:
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(f"asked {request.url}") if site.url not in request.url else None)
    page.goto(f"{site.url}/")
    expect(page.get_by_role("textbox", name="Token")).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")
    return page


@pytest.mark.parametrize("size", SIZES)
def test_from_a_film_to_its_report(
    size: str, browser: Any, site: Served, films: list[str], said: list[str], tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = opened(browser, site, SIZES[size], said)
    expect(page.get_by_role("status")).to_contain_text("Ready")
    page.locator("#files").set_input_files(films)
    status, rows = page.get_by_role("status"), page.locator("#scores tbody tr")
    expect(status).to_contain_text("2 of 3 films scored")
    expect(page.locator("#messages")).to_contain_text("Expected PNG, JPEG or DICOM")
    assert page.locator("#films li").count() == 3
    expect(rows).to_have_count(4)
    assert "of 12 films" in rows.first.inner_text()
    assert "not calibrated" in page.locator("#calibration").inner_text()

    page.get_by_label("A finding, or a sentence of your own").fill("left pleural effusion")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(5)
    before = pixels_of(page)
    page.get_by_role("button", name="left pleural effusion", exact=True).click()
    expect(page.locator("#caption")).to_contain_text("left pleural effusion: score")
    found = "not found" not in page.locator("#caption").inner_text()
    assert (pixels_of(page) != before).any() == found  # nothing is coloured for what is not there
    check_sliders(page, found)

    page.get_by_role("button", name="Cases like this film").click()
    expect(page.locator("#cases li")).to_have_count(12)
    page.get_by_label("Cases that fit a sentence").fill("a large heart")
    page.keyboard.press("Enter")
    expect(status).to_contain_text('that fit "a large heart"')
    page.get_by_role("button", name="Report of case").first.click()
    expect(page.get_by_role("dialog").locator(".text")).not_to_be_empty()
    assert page.get_by_role("dialog").get_by_text("Research use only").is_visible()
    page.keyboard.press("Escape")

    check_exports(page)
    check_objects(page)
    assert page.locator("header .notice").is_visible()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.locator("header .notice").bounding_box()["y"] >= 0  # 'Research use only' is always in sight
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    check_access(page)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=tmp_path / f"{size}.png", full_page=True)
    page.close()
    # The two answers 401 and 415 are shown to the reader, and Chromium notes each in its console.
    assert all("Failed to load resource" in line and ("401" in line or "415" in line) for line in said), said
    assert not [secret for secret in (PATIENT, *SECRETS) if secret in site.errors.read_text()]


def pixels_of(page: Any) -> np.ndarray[Any, Any]:
    import base64

    url = page.evaluate("document.getElementById('canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")).astype(int)


def check_sliders(page: Any, found: bool) -> None:
    """Opacity changes the colours alone; the window changes the film."""
    coloured = pixels_of(page)
    page.get_by_label("Opacity of the map").fill("0")
    page.wait_for_timeout(100)
    plain = pixels_of(page)
    assert (coloured != plain).any() == found
    page.get_by_label("Boxes").uncheck()
    page.wait_for_timeout(100)
    plain = pixels_of(page)
    assert (plain[..., 0] == plain[..., 2]).all()  # gray again
    page.get_by_label("Window level").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.get_by_label("Window width").fill("60")
    page.wait_for_timeout(100)
    narrow = pixels_of(page)
    expected = np.clip(np.round(255 * ((plain - 130.5) / 59 + 0.5)), 0, 255)
    assert np.abs(narrow - expected).max() <= 1
    page.get_by_role("button", name="Reset").click()


def check_exports(page: Any) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="Scores of all films as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    assert len(rows) == 10
    assert {row["film"] for row in rows} == {"1", "2"}
    assert all(row["notice"].startswith("Research use only") for row in rows)
    assert all(0 <= float(row["percentile"]) <= 100 for row in rows)
    with page.expect_download() as download:
        page.get_by_role("button", name="Film and map as PNG").click()
    with Image.open(download.value.path()) as picture:
        assert picture.size[0] >= 512


def check_objects(page: Any) -> None:
    """Offered for the film that came as DICOM alone; where not, the page says why."""
    from playwright.sync_api import expect

    button, reason = page.get_by_role("button", name="as DICOM objects"), page.locator("#no-dicom")
    expect(button).to_be_hidden()  # the film that is shown is a PNG
    expect(reason).to_have_text("No export as DICOM: this film did not come as DICOM.")
    page.locator("#films button").nth(1).click()
    expect(reason).to_be_hidden()
    with page.expect_download(timeout=240_000) as download:
        button.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        made = {name: pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    assert set(made) == {"sc.dcm", "pm.dcm", "seg.dcm", "sr.dcm"}
    assert {one.StudyInstanceUID for one in made.values()} == {film(4, size=256).StudyInstanceUID}
    assert [one.SegmentLabel for one in made["seg.dcm"].SegmentSequence][-1] == "left pleural effusion"
    assert not [secret for secret in SECRETS if secret in download.value.suggested_filename]


def check_access(page: Any) -> None:
    """No fault that axe-core knows of WCAG 2.2 A and AA, contrast among them."""
    from axe_playwright_python.sync_playwright import Axe

    source = Path(__import__("axe_playwright_python").__file__).parent / "axe.min.js"
    assert Axe
    page.evaluate(source.read_text("utf-8"))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = page.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}})", tags)
    faults = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]]
    assert not faults, json.dumps(faults, indent=1)
    assert len(found["passes"]) > 15


def test_a_wrong_token_is_asked_for_again_and_the_keyboard_reaches_everything(
    browser: Any, site: Served, films: list[str], said: list[str]
) -> None:
    from playwright.sync_api import expect

    page = opened(browser, site, SIZES["desk"], said, token="wrong-token-of-some-length")
    expect(page.get_by_role("status")).to_have_text("A token is needed.")
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Ready")
    page.locator("#files").set_input_files(films[0])
    expect(page.get_by_role("status")).to_contain_text("1 of 1 films scored")
    page.locator("body").evaluate("body => { document.activeElement.blur(); }")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    for name in (
        "files",
        "finding",
        "map",
        "opacity",
        "level",
        "width",
        "reset",
        "export-csv",
        "like-film",
        "sentence",
    ):
        assert name in reached
    page.close()


def test_a_service_that_makes_no_dicom_objects_says_why_in_the_place_of_the_button(
    browser: Any, site: Served, films: list[str], said: list[str]
) -> None:
    from playwright.sync_api import expect

    def without(route: Any) -> None:
        answer = route.fetch()
        told = {"dicom": False, "no_dicom": "the extra `pacs` is not installed here"}
        route.fulfill(response=answer, json={**answer.json(), **told} if answer.ok else answer.json())

    page = browser.new_page(viewport={"width": 1440, "height": 950})
    page.route("**/v1/kinds", without)
    page.goto(f"{site.url}/")
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Ready")
    page.locator("#files").set_input_files(films[1])
    expect(page.get_by_role("status")).to_contain_text("1 of 1 films scored")
    expect(page.locator("#no-dicom")).to_have_text("No export as DICOM: the extra `pacs` is not installed here.")
    expect(page.get_by_role("button", name="as DICOM objects")).to_be_hidden()
    page.close()
