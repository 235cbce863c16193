"""Embeddings that are shared as pictures."""

from __future__ import annotations

import pytest
from written_pictures import write_png, write_png_embedding


@pytest.fixture
def picture(tmp_path):
    """A picture that is an embedding, in a folder of a user interface, between previews."""
    folder = tmp_path / "webui" / "embeddings"
    (folder / "more").mkdir(parents=True)
    write_png(folder / "preview.png", parameters="a cat")
    return write_png_embedding(folder / "more" / "calico.png")


def test_inspect_says_that_it_is_one_and_how_to_convert_it(assetctl, picture):
    ended = assetctl("inspect", picture)
    assert "It is an embedding" in ended.out
    assert "does not understand" not in ended.out
    assert f"assetctl convert {picture}" in ended.err
    data = assetctl("inspect", picture, "--json").data
    assert (data["embedding"], data["unread"]) == (True, [])
    other = picture.parents[1] / "preview.png"
    assert assetctl("inspect", other, "--json").data["embedding"] is False


def test_importing_a_folder_takes_it_and_no_other_picture(assetctl, picture, tmp_path):
    write_png_embedding(tmp_path / "webui" / "outputs.png", 3)
    ended = assetctl("import", tmp_path / "webui", "--json")
    assert [(asset["name"], asset["kind"], asset["format"]) for asset in ended.data] == [
        ("calico.png", "embedding", "png")
    ]
    assert ended.err == ""
    assert "1 unchanged" in assetctl("import", tmp_path / "webui").err
