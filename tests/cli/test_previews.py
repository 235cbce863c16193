"""Pictures by which assets are shown, fetched from their pages on the loopback."""

from __future__ import annotations

import io
import shutil

import pytest
from material import write_lora
from written_pictures import HOSTILES, near, picture

from assetctl import Registry

Image = pytest.importorskip("PIL.Image")

RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


@pytest.fixture
def content(tmp_path):
    return write_lora(tmp_path / "source.safetensors", "sdxl").read_bytes()


@pytest.fixture
def shows(civitai, content):
    """Have version 42 on Civitai show some pictures, each by its name: what it holds, and what is said of it."""

    def publish(**pictures):
        listed = []
        for name, (data, said) in pictures.items():
            civitai.files[name] = data
            listed.append({"url": f"{civitai.storage_url}/{name}", "type": "image", "nsfwLevel": 1, **said})
        civitai.add(7, 42, ("whiskers.safetensors", content), images=listed)

    return publish


def preview(home, name="whiskers"):
    """The colour of what shows an asset; `None` where nothing does."""
    with Registry.open(home) as registry:
        data = registry.preview(name)
    if data is None:
        return None
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    assert max(image.size) <= 512
    return image.convert("RGB").getpixel((1, 1))


def asked(civitai):
    return [path[1:] for path in civitai.paths("storage") if path[1:] in "abcdefgh"]


RATINGS = [
    {"nsfwLevel": 2}, {"nsfwLevel": 16}, {"nsfwLevel": 0}, {"nsfwLevel": None}, {"nsfwLevel": "Soft"},
    {"nsfwLevel": True}, {"nsfwLevel": 1, "nsfw": "Mature"}, {"nsfwLevel": None, "nsfw": True}, {"type": "video"},
]  # fmt: skip


@pytest.mark.parametrize("said", RATINGS, ids=str)
def test_the_first_that_everybody_may_see_is_taken(assetctl, home, civitai, shows, said):
    shows(a=(picture("red"), said), b=(picture("blue"), {}), c=(picture("red"), {}))
    ended = assetctl("pull", "civitai:7", "--previews")
    assert (ended.code, asked(civitai)) == (0, ["b"])
    assert near(preview(home), BLUE)


@pytest.mark.parametrize("said", [{"nsfwLevel": None, "nsfw": "None"}, {"nsfwLevel": "None"}, {"nsfw": False}], ids=str)
def test_ratings_are_read_in_each_of_their_ways(assetctl, home, shows, said):
    shows(a=(picture("blue"), said))
    assetctl("pull", "civitai:7", "--previews")
    assert near(preview(home), BLUE)


def test_others_come_where_they_are_asked_for(assetctl, home, civitai, shows):
    shows(a=(b"", {"type": "video"}), b=(picture("red"), {"nsfwLevel": 16}), c=(picture("blue"), {}))
    assert assetctl("pull", "civitai:7", "--previews", "--nsfw").code == 0
    assert near(preview(home), RED)
    ended = assetctl("pull", "civitai:7", "--nsfw")
    assert (ended.code, "--previews" in ended.err) == (2, True)


def test_none_comes_where_none_is_asked_for(assetctl, home, civitai, shows):
    shows(a=(picture("red"), {}))
    assetctl("pull", "civitai:7")
    assert (asked(civitai), preview(home)) == ([], None)


@pytest.mark.parametrize("wrong", HOSTILES)
def test_what_is_no_picture_is_passed_over(assetctl, home, shows, wrong):
    shows(a=(HOSTILES[wrong], {}), b=(picture("blue"), {}))
    assert assetctl("pull", "civitai:7", "--previews").code == 0
    assert near(preview(home), BLUE)


def test_a_pull_does_not_fail_of_its_preview(assetctl, home, civitai, shows):
    shows(a=(HOSTILES["bomb"], {}), b=(bytes(17 * 2**20), {}), c=(HOSTILES["svg"], {}), d=(picture("red"), {}))
    ended = assetctl("pull", "civitai:7", "--previews")
    assert (ended.code, preview(home), asked(civitai)) == (0, None, ["a", "b", "c"])
    assert "No preview of whiskers came" in ended.err
    assert list((home / "previews").iterdir() if (home / "previews").exists() else ()) == []


def test_one_that_is_gone_is_passed_over_and_told_where_there_is_no_other(assetctl, home, civitai, shows):
    shows(a=(picture("red"), {}), b=(picture("blue"), {}))
    del civitai.files["a"]
    assetctl("pull", "civitai:7", "--previews")
    assert near(preview(home), BLUE)
    assetctl("edit", "whiskers", "--preview", "")
    del civitai.files["b"]
    ended = assetctl("pull", "civitai:7", "--previews")
    assert (ended.code, preview(home)) == (0, None)
    assert "no preview" in ended.err.lower()


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:image/png,", "", 5, "//x", "a.png"]
)
def test_addresses_of_anything_else_are_left_alone(assetctl, home, civitai, content, address):
    civitai.add(7, 42, ("whiskers.safetensors", content), images=[{"url": address, "nsfwLevel": 1}, 5, None])
    ended = assetctl("pull", "civitai:7", "--previews")
    assert (ended.code, preview(home)) == (0, None)
    assert "Nobody shows whiskers by a picture" in ended.err


def test_no_token_goes_to_where_pictures_lie(assetctl, home, civitai, shows, monkeypatch):
    monkeypatch.setenv("CIVITAI_API_TOKEN", civitai.token)
    shows(a=(picture("red"), {}), b=(picture("blue"), {}))
    civitai.versions[42]["images"][0]["url"] = f"{civitai.url}/led?to={civitai.storage_url}/b"
    assetctl("pull", "civitai:7", "--previews")
    assert near(preview(home), BLUE)
    tokens = [token for server, path, token in civitai.requests if server == "storage" or path.startswith("/led")]
    assert tokens
    assert set(tokens) == {None}


def test_it_is_kept_small_in_the_home_and_nowhere_else(assetctl, home, shows, content, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    shows(a=(picture("blue", (3000, 2000), "JPEG", exif=exif), {}))
    assetctl("pull", "civitai:7", "--previews")
    (kept,) = (home / "previews").iterdir()
    image = Image.open(kept)
    assert (image.format, image.size, dict(image.getexif())) == ("WEBP", (512, 341), {})
    assert b"secret" not in kept.read_bytes()
    assert [path.name for path in (home / "models/loras").iterdir()] == ["whiskers.safetensors"]


def test_files_that_are_here_get_theirs_and_nothing_is_written_beside_them(
    assetctl, home, civitai, shows, content, tmp_path
):
    shows(a=(picture("blue"), {}))
    mine = tmp_path / "mine/cats.safetensors"
    mine.parent.mkdir()
    mine.write_bytes(content)
    assetctl("import", mine)
    assetctl("enrich")  # nothing is left to learn but what it looks like
    (learned,) = assetctl("enrich", "--previews", "--json").data
    assert (learned["fields"], learned["sources"]) == (["preview"], ["civitai"])
    assert near(preview(home, "cats"), BLUE)
    assert [path.name for path in mine.parent.iterdir()] == ["cats.safetensors"]
    civitai.requests.clear()
    assetctl("enrich", "--previews")
    assert civitai.requests == []
    civitai.files["a"] = picture("red")
    assetctl("enrich", "--previews", "--again")
    assert near(preview(home, "cats"), RED)


def test_what_a_person_chose_or_has_beside_the_file_wins(assetctl, home, civitai, shows, content, tmp_path):
    shows(a=(picture("blue"), {}))
    assetctl("pull", "civitai:7", "--previews")
    (tmp_path / "mine.png").write_bytes(picture("red"))
    assetctl("edit", "whiskers", "--preview", tmp_path / "mine.png")
    assert near(preview(home), RED)
    assetctl("edit", "whiskers", "--preview", "")
    assert preview(home) is None
    (home / "models/loras/whiskers.png").write_bytes(picture("green"))
    civitai.requests.clear()
    assetctl("pull", "civitai:7", "--previews")
    assert (asked(civitai), near(preview(home), GREEN)) == ([], True)


def test_without_a_network_it_is_said_that_none_comes(assetctl, home, civitai, shows, tmp_path, monkeypatch):
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    shows(a=(picture("blue"), {}))
    source = write_lora(tmp_path / "mine.safetensors", "sdxl")
    ended = assetctl("pull", source, "--previews")
    assert (ended.code, "The network is off: no preview of mine was fetched" in ended.err) == (0, True)
    ended = assetctl("enrich", "--previews")
    assert (ended.code, "no preview" in ended.err, civitai.requests) == (0, True, [])


def test_one_source_that_fails_again_and_again_is_left_alone(assetctl, home, civitai, tmp_path, monkeypatch):
    for number in range(5):
        assetctl("import", write_lora(tmp_path / "mine" / f"cat-{number}.safetensors", "sdxl", seed=number))
        assetctl("enrich", f"cat-{number}")
    civitai.requests.clear()
    civitai.broken = True
    ended = assetctl("enrich", "--previews", "--quiet")
    assert len([path for path in civitai.paths("api") if "by-hash" in path]) in (3, 6)  # learning has its own patience
    assert "No preview of cat-0 came" in ended.err


def test_what_is_kept_for_an_asset_goes_with_it_for_good(assetctl, home, shows):
    shows(a=(picture("blue"), {}))
    assetctl("pull", "civitai:7", "--previews")
    assetctl("rm", "whiskers", "--now", "--yes")
    assert list((home / "previews").iterdir()) == []


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("owned", [False, True])
def test_what_shows_an_asset_goes_to_the_trash_with_it_and_comes_back(assetctl, home, tmp_path, owned, killed):
    for number, colour in enumerate(("red", "blue")):
        path = write_lora(tmp_path / f"cat-{number}.safetensors", "sdxl", seed=number)
        assetctl("import", path, *(["--move"] if owned else []))
        (tmp_path / "mine.png").write_bytes(picture(colour))
        assetctl("edit", f"cat-{number}", "--preview", tmp_path / "mine.png")
    (tmp_path / "mine.png").unlink()
    assetctl("rm", "cat-0", "--yes")
    assert len(list((home / "previews").iterdir())) == 1
    if killed:
        shutil.copytree(home / "trash", tmp_path / "trash")
    assetctl("prune", "--yes")
    assert assetctl("trash", "restore", "cat-0").code == 0
    if killed:  # before it was seen to be back whole
        shutil.rmtree(home / "trash")
        (tmp_path / "trash").rename(home / "trash")
        for path in (home / "trash").rglob("*.safetensors"):
            path.unlink()
        assert assetctl("trash", "restore", "cat-0").code == 0
    assert near(preview(home, "cat-0"), RED)
    assert near(preview(home, "cat-1"), BLUE)
    assetctl("rm", "cat-0", "--yes")
    assetctl("trash", "empty", "--yes")
    assert [each.name for each in (home / "trash").iterdir() if each.is_dir()] == []


def test_what_shows_one_of_two_shows_what_they_become(assetctl, home, tmp_path):
    for name in ("one", "other"):
        assetctl("import", "--no-hash", write_lora(tmp_path / f"{name}.safetensors", "sdxl"))
    (tmp_path / "mine.png").write_bytes(picture("blue"))
    assetctl("edit", "other", "--preview", tmp_path / "mine.png")
    (tmp_path / "mine.png").unlink()
    assetctl("import", tmp_path)
    names = [each["name"] for each in assetctl("list", "--json").data]
    assert any(near(preview(home, name), BLUE) for name in names)


def test_what_somebody_keeps_among_them_stays(assetctl, home, shows):
    shows(a=(picture("blue"), {}))
    assetctl("pull", "civitai:7", "--previews")
    for name in ("2024", "2", "2.source", "mine.png"):
        (home / "previews" / name).write_text("mine")
    assert preview(home)
    assetctl("prune", "--yes")
    assert len(list((home / "previews").iterdir())) == 5


# the Hub

CARDS = {
    "beside": ({"whiskers.png": "blue", "a.png": "red"}, {}, ""),
    "beside, as A1111 has it": ({"whiskers.preview.jpeg": "blue", "a.png": "red"}, {}, ""),
    "thumbnail": ({"b.webp": "blue", "a.png": "red"}, {"thumbnail": "b.webp"}, ""),
    "thumbnail by its address": (
        {"b.png": "blue", "a.png": "red"}, {"thumbnail": "https://huggingface.co/cats/whiskers/resolve/main/b.png"}, "",
    ),
    "widget": ({"images/b.png": "blue", "a.png": "red"}, {"widget": [{"output": {"url": "images/b.png"}}]}, ""),
    "readme": ({"b c.jpg": "blue", "a.png": "red"}, {}, "# C\n![a](https://elsewhere.example/x.png)\n![b](./b%20c.jpg)"),
    "html": ({"b.png": "blue", "a.png": "red"}, {}, "<p><img width='5' src='b.png?download=true'></p>"),
    "odd card": ({"b.png": "blue"}, {"thumbnail": 5, "widget": [None, {"output": "x"}]}, "![](b.png)"),
    "none": ({"a.png": "red"}, {}, "![x](../../a.png) ![y](https://elsewhere.example/a.png)"),
    "drawing": ({"b.svg": "blue"}, {"thumbnail": "b.svg"}, "![](b.svg)"),
}  # fmt: skip


@pytest.mark.parametrize("case", CARDS)
def test_a_repository_shows_what_lies_beside_the_file_or_on_its_card(assetctl, home, hub, civitai, content, case):
    pictures, card, readme = CARDS[case]
    forms = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP", "svg": "PNG"}
    files = {name: picture(color, form=forms[name.rpartition(".")[2]]) for name, color in pictures.items()}
    hub.add("cats/whiskers", {"whiskers.safetensors": content, "README.md": readme.encode(), **files}, card=card)
    assert assetctl("pull", "hf://cats/whiskers", "--previews").code == 0
    shown = preview(home)
    assert shown is None if case in ("none", "drawing") else near(shown, BLUE)


@pytest.mark.parametrize("nsfw", [False, True])
def test_what_the_hub_says_is_not_for_everybody_comes_where_it_is_asked_for(
    assetctl, home, hub, civitai, content, nsfw
):
    files = {"whiskers.safetensors": content, "whiskers.png": picture("blue")}
    hub.add("cats/whiskers", files, tags=("not-for-all-audiences",))
    assetctl("pull", "hf://cats/whiskers", "--previews", *(["--nsfw"] if nsfw else []))
    assert (preview(home) is not None) is nsfw


def test_a_private_repository_shows_itself_to_its_owner(assetctl, home, hub, civitai, content, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    files = {"whiskers.safetensors": content, "whiskers.jpeg": picture("blue", form="JPEG")}
    hub.add("cats/whiskers", files, private=True)
    assert assetctl("pull", "hf://cats/whiskers", "--previews").code == 0
    assert near(preview(home), BLUE)
    tokens = {(each.server, "authorization" in each.headers) for each in hub.requests}
    assert tokens == {("hub", True), ("cdn", False)}


def test_python_asks_for_one_as_the_command_line_does(home, civitai, shows):
    shows(a=(picture("red"), {"nsfwLevel": 4}), b=(picture("blue"), {}))
    with Registry.open(home) as registry:
        result = registry.pull("civitai:7", previews=True)
        assert result.warnings == []
        assert near(preview(home), BLUE)
        registry.enrich(again=True, previews=True, nsfw=True)
    assert near(preview(home), RED)
