"""The page in a real browser: what a person does there, by mouse and by keyboard, and whether everybody can."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
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
from patience import fair
from written_pictures import infotext, picture, write_png

from assetctl import Registry
from assetctl.demo import demo_assets

pytest.importorskip("starlette")
pytest.importorskip("jinja2")
playwright = pytest.importorskip("playwright.sync_api")

from served import served  # noqa: E402 - which needs starlette

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

CHANGED = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"

#: What a browser complains about that tests do: what is refused, and what is cut off.
EXPECTED = re.compile("status of|net::ERR_FAILED")

#: What the Hub calls a LoRA that makes pictures.
TAGS = ("lora", "text-to-image")

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1200, "height": 800}
PATHS = ("/", "/assets/{asset}", "/combine?lora={asset}", "/history", "/jobs", "/pull", "/assets/nobody", "/pictures/1")

#: What is wrong with a page, as axe and its kin look for it.
LOOK = (Path(__file__).parent / "accessible.js").read_text().partition("\n")[2]


@pytest.fixture(scope="module")
def browser():
    playwright.expect.set_options(timeout=fair(5_000))
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def opened(browser, url, **options):
    """A tab; what it asked of anybody else, and what it complained about, is an error."""
    context = browser.new_context(**({"viewport": DESK} | options))
    context.set_default_timeout(fair(20_000))
    tab, wrong = context.new_page(), []
    tab.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith((url, "data:")) else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on(
        "console",
        lambda said: wrong.append(said.text) if said.type == "error" and not EXPECTED.search(said.text) else None,
    )
    yield tab
    context.close()
    assert wrong == []


def filled(folder):
    """A home with a checkpoint and two LoRAs."""
    write_sparse(folder / "files" / "dawn.safetensors", whole_checkpoint())
    tiny.write_vocabulary(folder / "files" / "dawn.config" / "tokenizer")
    for name, width in (("whiskers", 768), ("wide", 2048)):
        headers.write_safetensors(folder / "files" / f"{name}.safetensors", headers.lora({CHANGED: (width, 8)}))
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
    return folder / "home"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A home whose worker paints squares."""
    with served(filled(tmp_path_factory.mktemp("browser"))) as server:
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
def test_everybody_can_read_every_page(server, browser, scheme, size, tmp_path):
    with served(tmp_path / "home") as empty, opened(browser, empty.url, viewport=size, color_scheme=scheme) as tab:
        for path in PATHS[:1] + PATHS[3:]:
            tab.goto(empty.url + path)
            assert tab.evaluate(LOOK) == [], path
    server.post("/v1/generate?wait=true", {"prompt": "an unusuallylongword" * 20, "checkpoint": "dawn"})
    with opened(browser, server.url, viewport=size, color_scheme=scheme, reduced_motion="reduce") as tab:
        for path in PATHS:
            tab.goto(server.url + path.format(asset="whiskers"))
            for summary in tab.locator("summary").all():
                if not summary.evaluate("e => e.parentElement.open"):
                    summary.click()
            tab.wait_for_load_state("networkidle")
            assert tab.evaluate(LOOK) == [], path
        tab.goto(f"{server.url}/docs")
        tab.evaluate("() => { for (const each of document.querySelectorAll('details')) each.open = true; }")
        assert tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


THEIRS = infotext(
    "a red circle <lora:nolora:0.7>", "bad", Steps="3", Sampler="Euler", Seed=str(2**64 - 1), Size="96x96",
    Model="dawn", **{"Model hash": "ffffffffff", "Hires upscale": "2"},
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("how", ["pasted", "dropped"])
def test_what_a_picture_of_another_program_says_is_filled_in_and_what_is_lost_stays_in_sight(
    server, browser, tmp_path, how
):
    with opened(browser, server.url, viewport=PHONE) as tab:
        if how == "pasted":
            tab.goto(f"{server.url}/combine")
            tab.fill("#prompt", THEIRS)
            tab.click("[data-read]")
        else:
            tab.goto(f"{server.url}/history")
            tab.set_input_files("#dropped", write_png(tmp_path / "theirs.png", parameters=THEIRS))
            tab.click("[data-start]")
        playwright.expect(tab.locator("#option-steps")).to_have_value("3")
        asked = [tab.input_value(f"#{name}") for name in ("prompt", "negative", "option-seed", "option-width")]
        assert asked == ["a red circle <lora:nolora:0.7>", "bad", str(2**64 - 1), "96"]
        assert tab.locator("#chosen-checkpoint .name").inner_text() == "dawn"
        for said in ("An asset is missing: the lora 'nolora'.", "Not carried over: Hires upscale.", "other bytes"):
            assert said in tab.inner_text("#origin")
        tab.wait_for_selector("#findings .finding.error >> text=nolora")
        assert tab.evaluate(LOOK) == []
        tab.fill("#option-steps", "4")
        assert not tab.locator("#told-of").is_visible()
        tab.click("#origin summary")
        assert tab.locator("#told-of").is_visible()
        tab.click("#dismiss")
        assert not tab.locator("#origin").is_visible()


@pytest.mark.slow
def test_a_phone_keeps_the_button_at_hand(server, browser):
    with opened(browser, server.url, viewport=PHONE) as tab:
        tab.goto(f"{server.url}/combine")
        for place in (0, 1e6):
            tab.evaluate("place => scrollTo(0, place)", place)
            box = tab.locator("#generate").bounding_box()
            assert 0 <= box["y"] <= PHONE["height"] - box["height"]


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
def test_of_two_jobs_each_is_seen_and_cancelled(tmp_path, browser):
    slowly = {"PAINTER_STEPS": "400", "PAINTER_SECONDS": "0.05"}
    with served(filled(tmp_path), **slowly) as slow, opened(browser, slow.url) as tab:
        tab.goto(f"{slow.url}/combine")
        tab.fill("#prompt", "slow")
        tab.click("#generate")
        tab.wait_for_function("() => document.getElementById('progress').value > 0")
        assert "step" in tab.inner_text("#step")
        assert "step" not in tab.inner_text("#state")
        tab.click("#generate")
        playwright.expect(tab.locator("#state")).to_contain_text("waits")
        first, second = (job.id for job in slow.registry.jobs.latest(2))
        tab.click("#cancel")
        assert slow.await_job(first)["status"] == "cancelled"
        slow.await_job(second, "running")
        tab.wait_for_function("() => document.getElementById('progress').value > 0")
        tab.click("#cancel")
        assert slow.await_job(second)["status"] == "cancelled"
        playwright.expect(tab.locator("#cancel")).to_be_hidden()
        playwright.expect(tab.locator("#step")).to_have_text("")


@pytest.mark.slow
def test_as_many_jobs_as_one_likes_keep_no_page_waiting(tmp_path, browser):
    slowly = {"PAINTER_STEPS": "400", "PAINTER_SECONDS": "0.05"}
    with served(filled(tmp_path), **slowly) as slow, opened(browser, slow.url) as tab:
        tab.goto(f"{slow.url}/combine")
        for number in range(1, 8):  # a browser has six connections
            tab.click("#generate")
            playwright.expect(tab.locator("#state")).to_contain_text(f"Job {number} waits")
        tab.wait_for_function("() => document.getElementById('progress').value > 0")
        assert tab.evaluate("async () => (await fetch('/v1/health')).ok")
        tab.click("#cancel")
        assert slow.await_job(1)["status"] == "cancelled"
        slow.await_job(2, "running")
        tab.wait_for_function("() => document.getElementById('progress').value > 0")


@pytest.mark.slow
def test_what_became_of_a_job_stays_in_sight_and_one_that_is_gone_is_given_up(tmp_path, browser):
    slowly = {"PAINTER_STEPS": "400", "PAINTER_SECONDS": "0.05"}
    with served(filled(tmp_path), **slowly) as slow, opened(browser, slow.url) as tab:
        tab.goto(f"{slow.url}/combine")
        for number, prompt in enumerate(("a cat", "a failure", "a dog"), 1):
            tab.fill("#prompt", prompt)
            tab.click("#generate")
            playwright.expect(tab.locator("#state")).to_contain_text(f"Job {number} waits")
        tab.click("#cancel")
        slow.await_job(3, "running")
        tab.wait_for_function("() => document.getElementById('progress').value > 0")
        assert "Job 2: It cannot be painted." in tab.inner_text("#failed")
        tab.click("#cancel")
        playwright.expect(tab.locator("#state")).to_have_text("Cancelled.")
        assert "Job 2: It cannot be painted." in tab.inner_text("#failed")
        tab.route("**/page/jobs/*/events*", lambda route: route.fulfill(status=404))
        tab.route("**/v1/jobs/*", lambda route: route.fulfill(status=404, json={"error": {"message": "It is gone."}}))
        tab.click("#generate")
        tab.wait_for_selector("#failed >> text=It is gone.")
        playwright.expect(tab.locator("#cancel")).to_be_hidden()


@pytest.mark.slow
def test_files_are_sent_one_after_the_other(server, browser, tmp_path):
    paths = [headers.write_safetensors(tmp_path / f"sent-{n}.safetensors", headers.lora({CHANGED: (768, n)}))
             for n in (1, 2, 3)]  # fmt: skip
    with opened(browser, server.url) as tab:
        held = []
        tab.route("**/v1/assets?*", held.append)
        tab.goto(f"{server.url}/pull")
        with tab.expect_request("**/v1/assets?*"):
            tab.set_input_files("#files", paths)
        playwright.expect(tab.locator("#pulls li")).to_have_count(3)
        tab.click("#pulls button >> text=sent-2")
        tab.wait_for_selector("#pulls .finding.error >> text=cancelled")
        assert len(held) == 1
        with tab.expect_request("**/v1/assets?*"):
            held[0].continue_()
        held[1].continue_()
        playwright.expect(tab.locator("#pulls .finding.good a")).to_have_text(["sent-3", "sent-1"])
        for name in ("sent-1", "sent-3"):
            server.ask("DELETE", f"/v1/assets/{name}")


@pytest.mark.slow
def test_a_verdict_is_none_of_what_stood_there_before(server, browser):
    with opened(browser, server.url) as tab:
        tab.goto(f"{server.url}/combine?checkpoint=dawn")
        tab.wait_for_selector("#findings .finding")
        tab.wait_for_selector("#said-curl")
        tab.route("**/page/**", lambda route: route.abort())
        tab.fill("#option-steps", "3")
        for place in ("#findings", "#said"):
            playwright.expect(tab.locator(f"{place} .finding.error")).to_contain_text("did not answer")
        assert tab.locator("#findings .finding").count() == 1
        tab.click("[data-place=lora] summary")
        tab.wait_for_selector("#offered-lora .finding.error")


@pytest.mark.slow
def test_prompts_of_several_lines_are_made_again_as_they_are(server, browser):
    asked = {"prompt": "x", "checkpoint": "dawn", "flavour": "comfyui", "prompt_l": "a cat\na dog ", "width": 64}
    number = server.post("/v1/generate?wait=true", asked).data["images"][0]["number"]
    told = server.get(f"/v1/pictures/{number}").data["request"]
    with opened(browser, server.url) as tab:
        tab.goto(f"{server.url}/combine?from={number}")
        tab.wait_for_selector("#said-curl")
        said = json.loads(shlex.split(tab.inner_text("#said-curl"))[-1])
        assert said["prompt_l"] == told["prompt_l"]


@pytest.mark.slow
def test_jobs_that_do_not_change_keep_the_focus(server, browser):
    server.post("/v1/generate?wait=true", {"prompt": "x", "checkpoint": "dawn"})
    with opened(browser, server.url) as tab:
        tab.goto(f"{server.url}/jobs")
        for swapped in (True, False):  # at first the page is compared with nothing
            tab.focus(".made a")
            tab.evaluate("() => { window.had = document.querySelector('.made a'); }")
            with tab.expect_response(f"{server.url}/jobs"):
                pass
            tab.wait_for_timeout(500)
            assert tab.evaluate("() => document.activeElement.matches('.made a')")
            assert tab.evaluate("() => !document.contains(window.had)") == swapped


@pytest.mark.slow
def test_what_is_not_answered_leaves_no_list_of_before(server, browser):
    with opened(browser, server.url) as tab:
        tab.goto(server.url)
        tab.route("**/?*", lambda route: route.abort())
        tab.fill("[name=q]", "whiskers")
        playwright.expect(tab.locator("#found .finding.error")).to_contain_text("did not answer")
        assert tab.locator("#found .card").count() == 0
        tab.unroute("**/?*")
        tab.fill("[name=q]", "whisk")
        playwright.expect(tab.locator("#found .card")).to_have_count(1)
        tab.goto(f"{server.url}/jobs")
        with tab.expect_request_finished(lambda asked: asked.url.endswith("/jobs")):
            tab.route("**/jobs", lambda route: route.fulfill(status=500, body="<h1>It broke.</h1>"))
        tab.wait_for_selector("#jobs .finding.error >> text=It broke.")
        tab.unroute("**/jobs")
        playwright.expect(tab.locator("#jobs .finding.error")).to_have_count(0)


@pytest.mark.slow
def test_how_much_is_found_is_told_and_back_leaves_the_search(server, browser, monkeypatch):
    monkeypatch.setattr("assetctl.server.page._CARDS", 2)
    with opened(browser, server.url) as tab:
        tab.goto(server.url)
        pages = tab.evaluate("() => history.length")
        tab.fill("[name=q]", "whiskers")
        playwright.expect(tab.locator("#told")).to_have_text("1 asset")
        tab.fill("[name=q]", "")
        playwright.expect(tab.locator("#told")).to_have_text("3 assets")
        assert tab.evaluate("() => history.length") == pages
        tab.click("text=Next page")
        playwright.expect(tab.locator(".card")).to_have_count(1)
        playwright.expect(tab.locator("#found")).to_be_focused()


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
        content = headers.write_safetensors(
            tmp_path / "long.safetensors", headers.lora({CHANGED: (768, 8)}), {"x": "y" * 4_000_000}
        ).read_bytes()
        hub.add("cats/long", {"long.safetensors": content})
        hub.throttle = 1_000_000
        tab.fill("#reference", "hf://cats/long")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#pulls p >> text=of 4.0 MB")
        tab.wait_for_function("() => document.querySelector('#pulls progress').value > 0.1")
        tab.click("#pulls [data-cancel]")
        tab.wait_for_selector("#pulls .finding.error >> text=cancelled")
        hub.throttle = None
        tab.click("text=Get it >> nth=0")
        tab.wait_for_selector("#pulls .finding.good >> text=long")
        tab.goto(server.url)
        assert {"whiskers", "long"} <= set(tab.locator(".card .name").all_inner_texts())


@pytest.fixture
def newcomer(tmp_path, hub):
    """A home in which nothing is yet, served as somebody serves it; the demo family lies in a folder."""
    home, mine = tmp_path / "home", tmp_path / "mine"
    mine.mkdir()
    for path in demo_assets().files:
        shutil.copy(path, mine)
        for folder in path.parent.glob(f"{path.stem}.config"):
            shutil.copytree(folder, mine / folder.name)
    (mine / "demo-cat.safetensors").rename(tmp_path / "it's a cat.safetensors")  # which is sent by the browser
    command = [sys.executable, "-m", "assetctl", "--home", str(home), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield tmp_path, process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(fair(30))


def pasted(line, folder, code=0):
    """What a line says that is run in a shell, in a folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words, where = ["bash", "-c", line], {**os.environ, "PATH": path}
    ended = subprocess.run(words, check=False, capture_output=True, cwd=folder, timeout=fair(120), env=where)
    assert ended.returncode == code, ended.stderr.decode()
    return ended.stdout.decode()


def ran(script, folder):
    (folder / "pasted.py").write_text(script)
    return pasted("python pasted.py", folder)


def said(tab, of):
    return tab.inner_text(f"#said-{of}")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.generation
def test_the_whole_walk_of_a_newcomer(newcomer, browser, hub):
    """Each step in the browser, and what the page says of it pasted in a shell."""
    pytest.importorskip("diffusers")
    folder, url = newcomer
    with opened(browser, url) as tab:
        importing(tab, url, folder)
        sending(tab, url, folder)
        fetching(tab, url, folder, hub)
        judging(tab, url, folder)
        made = making(tab, url, folder)
        again_and_dropped(tab, url, made, folder)


def importing(tab, url, folder):
    """What to do where nothing is, done."""
    tab.goto(url)
    assert "Nothing is here yet" in tab.inner_text("main")
    assert tab.evaluate(LOOK) == []
    pasted(tab.inner_text("#try-import").replace("FOLDER", str(folder / "mine")), folder)
    tab.click("text=look again")
    assert {"demo-checkpoint", "demo-sdxl-lora"} <= set(tab.locator(".card .name").all_inner_texts())


def sending(tab, url, folder):
    """A file of this computer, by the browser; then the same by what the page says, which finds it here."""
    tab.goto(f"{url}/pull")
    tab.set_input_files("#files", folder / "it's a cat.safetensors")
    tab.wait_for_selector("#pulls .finding.good a")
    assert tab.inner_text("#pulls .finding.good a") == "it's a cat"
    tab.wait_for_selector("#said-curl")
    assert json.loads(pasted(said(tab, "curl"), folder))["data"]["name"] == "it's a cat"
    assert ran(said(tab, "python"), folder) == "it's a cat\n"
    pasted(said(tab, "command"), folder)
    tab.click("#pulls .finding.good a")
    tab.wait_for_selector("text=its cross-attention takes text of width 768")


def fetching(tab, url, folder, hub):
    """A LoRA of the Hub's, with its picture; then the same by what the page says, which finds it here."""
    content = headers.write_safetensors(folder / "tails.safetensors", headers.lora({CHANGED: (768, 8)})).read_bytes()
    hub.add("cats/tails", {"tails.safetensors": content, "tails.png": picture("blue")}, tags=TAGS)
    tab.goto(f"{url}/pull")
    tab.fill("#reference", "hf://cats/tails")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#pulls .finding.good a")
    tab.wait_for_selector("#said-curl")
    for line in ("curl", "python", "command"):
        assert "previews" in said(tab, line)
    assert json.loads(pasted(said(tab, "curl"), folder))["data"]["assets"] == ["tails"]
    assert ran(said(tab, "python"), folder) == "done tails\n"
    assert "tails" in pasted(said(tab, "command"), folder)
    tab.fill("[name=q]", "tails")
    tab.keyboard.press("Enter")
    assert "Here already: tails" in tab.inner_text("#hits .card")
    tab.goto(f"{url}/?q=tails")
    shown = tab.evaluate(
        "async () => (await fetch(document.querySelector('.card img').src)).headers.get('content-type')"
    )
    assert shown == "image/webp"


def judging(tab, url, folder):
    """What does not fit is greyed out with its reason, and forced all the same is found; and so in a shell."""
    tab.goto(f"{url}/combine?checkpoint=demo-checkpoint")
    tab.click("[data-place=lora] summary")
    misfit = tab.locator("[data-name=demo-sdxl-lora]")
    assert misfit.get_attribute("aria-disabled") == "true"
    assert "sdxl" in tab.inner_text(f"#{misfit.get_attribute('aria-describedby')}")
    misfit.click(force=True)
    assert tab.locator("#chosen-lora li").count() == 0
    tab.goto(f"{url}/combine?checkpoint=demo-checkpoint&lora=demo-sdxl-lora")
    tab.wait_for_selector(".finding.error >> text=demo-sdxl-lora is of family sdxl")
    tab.select_option("#said-of", "check")
    playwright.expect(tab.locator("#said-curl")).to_contain_text("/v1/check")
    assert json.loads(pasted(said(tab, "curl"), folder))["data"]["ok"] is False
    assert "It does not work together." in ran(said(tab, "python"), folder)
    assert "demo-sdxl-lora is of family sdxl" in pasted(said(tab, "command"), folder, code=4)
    tab.click("#chosen-lora .remove")
    tab.wait_for_selector(".finding.good")


def making(tab, url, folder):
    """A picture; then the same bytes by each of the three that the page says."""
    tab.goto(f"{url}/combine?lora=it%27s%20a%20cat")
    tab.fill("#prompt", 'it\'s an "orange" cat')
    tab.fill("#option-steps", "3")
    tab.fill("#option-seed", "7")
    tab.fill("#chosen-lora [type=number]", "0.85")
    assert tab.input_value("#chosen-lora [type=range]") == "0.85"
    tab.fill("#chosen-lora [type=number]", "0.8")
    tab.wait_for_selector(".finding.good")
    tab.click("#generate")
    tab.wait_for_function(
        "() => document.getElementById('preview').src.startsWith('data:image/png')", timeout=fair(60_000)
    )
    tab.wait_for_selector("#made img", timeout=fair(60_000))
    made = tab.get_attribute("#made img", "data-sha256")
    assert tab.evaluate("() => document.querySelector('#made img').naturalWidth") > 0
    playwright.expect(tab.locator("#said-curl")).to_contain_text("0.8")
    (image,) = json.loads(pasted(said(tab, "curl"), folder))["data"]["images"]
    with urlopen(image["url"]) as again:
        data = again.read()
    assert hashlib.sha256(data).hexdigest() == image["sha256"] == made
    assert made in ran(said(tab, "python"), folder)
    pasted(said(tab, "command").replace(" generate ", " generate --out same.png ", 1), folder)
    assert sha256(folder / "same.png") == made
    assert len(list((folder / "home/outputs").iterdir())) >= 3
    return made


def again_and_dropped(tab, url, made, folder):
    """Made again from the history, from the file, and from another program's picture."""
    tab.goto(f"{url}/history")
    tab.click("#found .card >> nth=0 >> text=Make again")
    tab.wait_for_selector(".finding.good")
    tab.click("#generate")
    tab.wait_for_selector("#made img", timeout=fair(60_000))
    assert tab.get_attribute("#made img", "data-sha256") == made
    tab.goto(f"{url}/history")
    tab.set_input_files("#dropped", folder / "same.png")
    tab.click("button >> text=Make one like it")
    tab.wait_for_selector(".finding.good")
    assert tab.input_value("#prompt") == 'it\'s an "orange" cat'
    assert tab.input_value("#option-seed") == "7"
    assert tab.locator("#chosen-lora .name").inner_text() == "it's a cat"
    tab.click("#generate")
    tab.wait_for_selector("#made img", timeout=fair(60_000))
    assert tab.get_attribute("#made img", "data-sha256") == made
    checkpoint = sha256(folder / "mine/demo-checkpoint.safetensors")[:10]
    text = infotext(
        "a red circle", "", Steps="3", Sampler="Euler", Seed="5", Size="96x96", **{"Model hash": checkpoint}
    )
    write_png(folder / "theirs.png", parameters=text)
    tab.goto(f"{url}/history")
    tab.set_input_files("#dropped", folder / "theirs.png")
    tab.wait_for_selector("#told-of >> text=here, demo-checkpoint, by its AutoV2")
    assert "a red circle" in tab.inner_text("#told-of")
    tab.click("button >> text=Make one like it")
    tab.wait_for_selector(".finding.good")
    asked = [tab.input_value(f"#option-{name}") for name in ("steps", "sampler", "seed", "width")]
    assert (tab.input_value("#prompt"), asked) == ("a red circle", ["3", "Euler", "5", "96"])
    text = infotext(
        "a red circle <lora:nolora:0.7>", "", Steps="3", Sampler="Euler", Seed="5", Size="96x96",
        **{"Model": "demo-checkpoint", "Model hash": "ffffffffff", "Hires upscale": "2"},
    )  # fmt: skip
    write_png(folder / "others.png", parameters=text)
    tab.goto(f"{url}/history")
    tab.set_input_files("#dropped", folder / "others.png")
    tab.wait_for_selector("#told-of >> text=same name, other bytes: demo-checkpoint is not this file")
    told = tab.inner_text("#told-of")
    assert "An asset is missing: the lora 'nolora'." in told
    assert "It will be another picture, and of another size" in told
    assert "Hires upscale: 2" in told
    tab.click("button >> text=Make one like it")
    tab.wait_for_selector(".finding.error >> text=nolora")
