"""Pictures of the pages, for the documentation: `python benchmarks/pages.py` writes them into `docs/pictures`.

The demo family is served as anybody serves it, some pictures are made with it, and a browser looks at each page.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from measure import BIN
from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"

#: What is made first, so that assets have something to be known by.
MADE: tuple[dict[str, Any], ...] = (
    {"prompt": "an orange cat on a cyan background", "loras": {"demo-cat": 1}, "seed": 7},
    {"prompt": "a red circle on a blue background, vintage", "loras": {"demo-vintage": 0.8}, "seed": 3},
    {"prompt": "a demo-cookie on a green background", "textual_inversions": {"demo-cookie": None}, "seed": 5},
    {"prompt": "a blue square", "negative_prompt": "demo-negative", "seed": 11},
)

DESK, PHONE = {"width": 1100, "height": 760}, {"width": 390, "height": 780}

#: The largest that a picture may be, in bytes.
MOST = 150_000


def main() -> None:
    """Take all of them."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("No Chromium is installed.")
    FOLDER.mkdir(exist_ok=True)
    with served() as url, sync_playwright() as running:
        for wanted in MADE:
            body = json.dumps({"checkpoint": "demo-checkpoint", "steps": 20, **wanted}).encode()
            urlopen(Request(f"{url}/v1/generate?wait=true", body, {"Content-Type": "application/json"})).close()  # noqa: S310
        opened = running.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for scheme, size, name in (("light", DESK, ""), ("dark", DESK, "-dark"), ("light", PHONE, "-phone")):
            page = opened.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            take(page, url, name)
            page.close()
        opened.close()


def take(page: Page, url: str, name: str) -> None:
    """Pictures of all pages, in one look."""
    for shown, path in (("library", "/"), ("asset", "/assets/demo-cat"), ("history", "/history"), ("jobs", "/jobs")):
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        if not name:
            keep(page, f"{shown}{name}")
    page.goto(f"{url}/combine?from=1")
    page.click("[data-place=lora] summary")
    page.wait_for_selector("#offered-lora button")
    page.wait_for_selector("#findings .good")
    page.click("#generate")
    page.wait_for_selector("#made img")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_load_state("networkidle")
    keep(page, f"combine{name}")


def keep(page: Page, name: str) -> None:
    """One picture, of few colours, since pages have few."""
    small = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(128)
    path = FOLDER / f"{name}.png"
    small.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {size:,} bytes")
    if size > MOST:
        sys.exit(f"{path.name} is larger than {MOST:,} bytes.")


@contextmanager
def served() -> Iterator[str]:
    """The address of a home with the demo family."""
    with tempfile.TemporaryDirectory() as folder:
        home = [str(BIN / "assetctl"), "--home", str(Path(folder) / "home")]
        subprocess.run([*home, "demo", "--pull"], check=True, capture_output=True)
        with subprocess.Popen([*home, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip()
            finally:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
