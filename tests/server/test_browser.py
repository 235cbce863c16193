"""The page in a real browser: what a person does there, by mouse and by keyboard, and whether everybody can."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import headers
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny

from assetctl import Registry
from assetctl.demo import demo_assets

pytest.importorskip("starlette")
pytest.importorskip("jinja2")
playwright = pytest.importorskip("playwright.sync_api")

from served import served  # noqa: E402 - which needs starlette

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

CHANGED = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1200, "height": 800}
PATHS = ("/", "/assets/{asset}", "/combine?lora={asset}", "/history", "/jobs", "/pull", "/assets/nobody")

#: What is wrong with a page, as axe and its kin look for it.
LOOK = (Path(__file__).parent / "accessible.js").read_text().partition("\n")[2]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def opened(browser, url, **options):
    """A tab; what it asked of anybody else, and what it complained about, is an error."""
    context = browser.new_context(**({"viewport": DESK} | options))
    context.set_default_timeout(20_000)
    tab, wrong = context.new_page(), []
    tab.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith((url, "data:")) else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on(
        "console",
        lambda said: wrong.append(said.text) if said.type == "error" and "status of" not in said.text else None,
    )
    yield tab
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A home whose worker paints squares."""
    folder = tmp_path_factory.mktemp("browser")
    write_sparse(folder / "files" / "dawn.safetensors", whole_checkpoint())
    tiny.write_vocabulary(folder / "files" / "dawn.config" / "tokenizer")
    for name, width in (("whiskers", 768), ("wide", 2048)):
        headers.write_safetensors(folder / "files" / f"{name}.safetensors", headers.lora({CHANGED: (width, 8)}))
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
    with served(folder / "home") as server:
        yield server


def tab_to(tab, selector, most=120):
    """Press Tab until something is reached, as somebody does who has no mouse."""
    for _ in range(most):
        tab.keyboard.press("Tab")
        if tab.evaluate("selector => document.activeElement.matches(selector)", selector):
            outline = tab.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"one does not see that {selector} is reached"
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def test_a_picture_is_made_by_keyboard_alone(server, browser):
    with opened(browser, server.url) as tab:
        tab.goto(f"{server.url}/combine")
        tab_to(tab, ".skip")
        tab.keyboard.press("Enter")
        tab_to(tab, "#prompt")
        tab.keyboard.type("a cat")
        tab_to(tab, "[data-place=lora] summary")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#offered-lora button")
        assert tab.get_attribute("[data-name=wide]", "aria-disabled") == "true"
        tab_to(tab, "[data-name=wide]")
        tab.keyboard.press("Enter")
        assert tab.locator("#chosen-lora li").count() == 0
        assert tab.inner_text("#told")
        tab.keyboard.press("Shift+Tab")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#chosen-lora li")
        tab.keyboard.press("Shift+Tab")
        tab_to(tab, "#generate")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#made img")
        assert tab.inner_text("#state") == "Done."
        assert server.registry.history(1)[0].prompt == "a cat"
        assert {use.name for use in server.registry.history(1)[0].assets} == {"dawn", "whiskers"}
        assert tab.evaluate(LOOK) == []


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")], ids=["phone", "dark"])
def test_everybody_can_read_every_page(server, browser, scheme, size):
    server.post("/v1/generate?wait=true", {"prompt": "an unusuallylongword" * 20, "checkpoint": "dawn"})
    with opened(browser, server.url, viewport=size, color_scheme=scheme, reduced_motion="reduce") as tab:
        for path in PATHS:
            tab.goto(server.url + path.format(asset="whiskers"))
            for summary in tab.locator("summary").all():
                if not summary.evaluate("e => e.parentElement.open"):
                    summary.click()
            tab.wait_for_load_state("networkidle")
            assert tab.evaluate(LOOK) == [], path


@pytest.mark.slow
def test_focus_goes_down_the_page(server, browser):
    with opened(browser, server.url) as tab:
        for path in PATHS:
            tab.goto(server.url + path.format(asset="whiskers"))
            tab.wait_for_load_state("networkidle")
            places = []
            for _ in range(20):
                tab.keyboard.press("Tab")
                place = tab.evaluate("() => [...document.querySelectorAll('*')].indexOf(document.activeElement)")
                if places and place <= places[-1]:
                    break
                places.append(place)
            assert len(places) > 5, path


@pytest.mark.slow
def test_a_search_answers_as_one_types(server, browser):
    with opened(browser, server.url) as tab:
        tab.goto(server.url)
        assert tab.locator(".card").count() == 3
        tab.locator("[name=q]").press_sequentially("whisk")
        playwright.expect(tab.locator(".card")).to_have_count(1)
        assert "q=whisk" in tab.url
        tab.fill("[name=q]", "nobody")
        playwright.expect(tab.locator(".count")).to_have_text("Nothing is here that fits.")
        tab.fill("[name=q]", "")
        tab.select_option("[name=kind]", "checkpoint")
        playwright.expect(tab.locator(".card .name")).to_have_text(["dawn"])


@pytest.mark.slow
def test_a_job_is_cancelled_and_seen_in_the_queue(server, browser, monkeypatch):
    monkeypatch.setenv("PAINTER_STEPS", "400")
    monkeypatch.setenv("PAINTER_SECONDS", "0.05")
    with served(server.registry.settings.home) as slow, opened(browser, slow.url) as tab:
        tab.goto(f"{slow.url}/combine")
        tab.fill("#prompt", "slow")
        tab.click("#generate")
        tab.wait_for_function("() => document.getElementById('progress').value > 0")
        with opened(browser, slow.url) as other:
            other.goto(f"{slow.url}/jobs")
            assert "running" in other.inner_text("#jobs li")
            assert "step" in other.inner_text("#jobs li")
        tab.click("#cancel")
        playwright.expect(tab.locator("#state")).to_have_text("Cancelled.")
        tab.goto(f"{slow.url}/jobs")
        assert "cancelled" in tab.inner_text("#jobs li")


@pytest.mark.slow
def test_an_asset_is_searched_fetched_and_its_progress_seen(browser, hub, civitai, tmp_path):
    content = headers.write_safetensors(tmp_path / "cat.safetensors", headers.lora({CHANGED: (768, 8)})).read_bytes()
    hub.add("cats/whiskers", {"whiskers.safetensors": content})
    civitai.add(7, 42, ("tails.safetensors", content + b" "), baseModel="SD 1.5", model_said={"name": "<b>Tails</b>"})
    with served(tmp_path / "home") as server, opened(browser, server.url) as tab:
        tab.goto(f"{server.url}/pull")
        tab.fill("#reference", "hf://cats/nothing")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#pulls .finding.error")
        tab.fill("#reference", "hf://cats/whiskers/whiskers.safetensors")
        tab.click("text=Get it")
        tab.wait_for_selector("#pulls .finding.good")
        assert tab.evaluate(LOOK) == []
        tab.select_option("[name=source]", "civitai")
        tab.fill("[name=q]", "tails")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#hits .card")
        assert "<b>Tails</b>" in tab.inner_text("#hits")
        tab.click("#hits [data-pull]")
        playwright.expect(tab.locator("#pulls .finding")).to_have_count(3)
        tab.goto(server.url)
        assert "whiskers" in tab.locator(".card .name").all_inner_texts()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo family, imported and served as somebody serves it."""
    home, mine = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("mine")
    for path in demo_assets().files:
        shutil.copy(path, mine)
        for folder in path.parent.glob(f"{path.stem}.config"):
            shutil.copytree(folder, mine / folder.name)
    cli = [sys.executable, "-m", "assetctl", "--home", str(home)]
    subprocess.run([*cli, "import", str(mine)], check=True, capture_output=True, timeout=60)
    with subprocess.Popen(
        [*cli, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield home, process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.slow
@pytest.mark.generation
def test_the_walk_from_import_to_the_same_bytes(demo, browser, tmp_path):
    pytest.importorskip("diffusers")
    home, url = demo
    with opened(browser, url) as tab:
        tab.goto(url)
        assert "demo-cat" in tab.locator(".card .name").all_inner_texts()
        tab.click("text=demo-cat")
        tab.wait_for_selector("text=its cross-attention takes text of width 768")
        tab.click("text=Use in a picture")
        tab.fill("#prompt", "an orange cat")
        tab.fill("#option-steps", "3")
        tab.fill("#option-seed", "7")
        tab.wait_for_selector(".finding.good")
        tab.goto(f"{url}/combine?checkpoint=demo-checkpoint&lora=demo-sdxl-lora")
        tab.wait_for_selector(".finding.error >> text=demo-sdxl-lora is of family sdxl")
        tab.goto(f"{url}/combine?lora=demo-cat")
        tab.fill("#prompt", 'it\'s an "orange" cat')
        tab.fill("#option-steps", "3")
        tab.fill("#option-seed", "7")
        tab.fill("#chosen-lora [type=number]", "0.85")
        assert tab.input_value("#chosen-lora [type=range]") == "0.85"
        tab.wait_for_selector(".finding.good")
        with tab.expect_response("**/page/said"):
            tab.fill("#chosen-lora [type=number]", "0.8")
        tab.click("#generate")
        tab.wait_for_function(
            "() => document.getElementById('preview').src.startsWith('data:image/png')", timeout=60_000
        )
        tab.wait_for_selector("#made img", timeout=60_000)
        made = tab.get_attribute("#made img", "data-sha256")
        assert tab.evaluate("() => document.querySelector('#made img').naturalWidth") > 0
        playwright.expect(tab.locator("#said-curl")).to_contain_text("0.8")
        curl = tab.inner_text("#said-curl")
        ended = subprocess.run(["bash", "-c", curl], capture_output=True, check=True, timeout=60)
        (image,) = json.loads(ended.stdout)["data"]["images"]
        with urlopen(image["url"]) as again:
            data = again.read()
        assert hashlib.sha256(data).hexdigest() == image["sha256"] == made
        command = tab.inner_text("#said-command").replace("assetctl ", f"{sys.executable} -m assetctl ", 1)
        there = command.replace(" generate ", f" generate --out {tmp_path / 'same.png'} ", 1)
        subprocess.run(["bash", "-c", there], capture_output=True, check=True, timeout=90)
        assert hashlib.sha256((tmp_path / "same.png").read_bytes()).hexdigest() == made
        again_and_dropped(tab, url, made, tmp_path / "same.png")
    assert len(list((home / "outputs").iterdir())) >= 3


def again_and_dropped(tab, url, made, picture):
    """Make it again from the history, and from the file."""
    tab.goto(f"{url}/history")
    tab.click("#found .card >> nth=0 >> text=Make again")
    tab.wait_for_selector(".finding.good")
    tab.click("#generate")
    tab.wait_for_selector("#made img", timeout=60_000)
    assert tab.get_attribute("#made img", "data-sha256") == made
    tab.goto(f"{url}/history")
    tab.set_input_files("#dropped", picture)
    tab.click("text=Make one like it")
    tab.wait_for_selector(".finding.good")
    assert tab.input_value("#prompt") == 'it\'s an "orange" cat'
    assert tab.input_value("#option-seed") == "7"
    assert tab.locator("#chosen-lora .name").inner_text() == "demo-cat"
    tab.click("#generate")
    tab.wait_for_selector("#made img", timeout=60_000)
    assert tab.get_attribute("#made img", "data-sha256") == made
