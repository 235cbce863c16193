"""Many pictures on one sheet: what is drawn, and how large it gets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from assetctl.errors import UsageError
from assetctl.pictures.sheet import MAX_PIXELS, MAX_SIDES, Table, draw_sheet, lay_out

RED, BLUE, GREEN = (250, 0, 0), (0, 0, 250), (0, 250, 0)


def plain(width, height, colour):
    return Image.new("RGB", (width, height), colour)


def pixels(sheet, colour):
    """How many pixels are of exactly a colour, and the box around them."""
    raw = sheet.tobytes()
    found = [n for n in range(0, len(raw), 3) if tuple(raw[n : n + 3]) == colour]
    xs, ys = [n // 3 % sheet.width for n in found], [n // 3 // sheet.width for n in found]
    return len(found), (min(xs), min(ys), max(xs), max(ys))


def test_pictures_keep_their_pixels_and_their_places(tmp_path):
    saved = tmp_path / "green.png"
    plain(64, 96, GREEN).save(saved)
    sheet = draw_sheet(
        Table([[plain(96, 64, RED), plain(64, 64, BLUE)], [saved, ""]], ["a", "b"], ["c", "d"]), title="t"
    )
    count, red = pixels(sheet, RED)
    assert count == 96 * 64
    count, blue = pixels(sheet, BLUE)
    assert count == 64 * 64
    count, green = pixels(sheet, GREEN)
    assert count == 64 * 96
    assert blue[0] > red[2]
    assert green[1] > red[3]
    assert (red[1], red[3]) == (blue[1], blue[3])
    assert red[0] < green[0] < green[2] < red[2], "what is narrower stands in the middle of its column"


def test_tables_stand_below_each_other_with_their_titles():
    one, two = Table([[plain(64, 64, RED)]], title="seed 1"), Table([[plain(64, 64, BLUE)]], title="seed 2")
    sheet = draw_sheet(one, two, title="a cat")
    assert pixels(sheet, BLUE)[1][1] > pixels(sheet, RED)[1][3]
    assert sheet.height > draw_sheet(one, title="a cat").height


def test_labels_are_whole_however_long():
    short = lay_out([Table([[(64, 64)]], ["steps"], ["cfg"])]).size
    long = lay_out([Table([[(64, 64)]], ["a label of many words " * 8], ["an" + "other" * 40])]).size
    assert long[1] > short[1] + 100
    assert lay_out([Table([[(64, 64)]], ["x" * 10**6], ["y" * 10**6], "z" * 10**6)], title="t" * 10**6).size[1] < 10_000


def test_a_reason_that_does_not_fit_stands_below():
    reason = "The LoRA whiskers was made for SDXL, and dream is an SD 1 checkpoint: they have nothing in common. " * 2
    without = lay_out([Table([[(64, 64), "no"]])]).size
    several = lay_out([Table([[(64, 64), reason], [reason, reason]])]).size
    assert several[1] > 2 * without[1]
    once = lay_out([Table([[(64, 64), reason], [(64, 64), (64, 64)]])]).size
    assert several == once, "one reason is told once"


@pytest.mark.parametrize(
    "text", ["é", "猫と犬", "кот", "שלום", "😀", "\u202eevil", "a\x00b", "\ud800", "a\n\nb", "\\u732b", "x" * 999]
)
def test_any_letters_can_be_drawn(text):
    sheet = draw_sheet(Table([[plain(64, 64, RED), text]], [text, text], [text], text), title=text)
    assert pixels(sheet, RED)[0] == 64 * 64


def test_what_no_font_has_is_written_out(monkeypatch):
    monkeypatch.setattr("assetctl.pictures.sheet._others", lambda _size: ())
    written = lay_out([Table([[(64, 64)]])], title="猫").size
    assert written == lay_out([Table([[(64, 64)]])], title="\\u732b").size


@pytest.mark.parametrize("suffix", MAX_SIDES)
@pytest.mark.parametrize(("columns", "rows"), [(20, 20), (100, 4), (1, 400)])
def test_a_sheet_that_would_be_too_large_has_smaller_pictures(suffix, columns, rows):
    layout = lay_out([Table([[(2048, 2048)] * columns] * rows, ["x"] * columns, ["y"] * rows)], format=suffix)
    width, height = layout.size
    assert width * height <= MAX_PIXELS
    assert max(width, height) <= MAX_SIDES[suffix]
    assert layout.scale < 1


def test_what_fits_in_no_way_is_refused():
    with pytest.raises(UsageError, match="16383"):
        lay_out([Table([[(512, 512)] * 1000])], format="webp")


def test_a_file_that_is_gone_bad_leaves_its_cell_empty(tmp_path):
    bad = tmp_path / "bad.png"
    Image.new("RGB", (64, 64)).save(bad)
    bad.write_bytes(bad.read_bytes()[:60])
    sheet = draw_sheet(Table([[bad, plain(64, 64, RED)]]))
    assert pixels(sheet, RED)[0] == 64 * 64


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=2, max_size=2), max_size=4),
    texts=st.lists(st.text(max_size=60), min_size=7, max_size=7),
)
def test_sheets_of_any_sizes_and_texts_can_be_drawn(sizes, texts):
    rows = [f"{number} {texts[number]}" for number in range(len(sizes))]
    table = Table(sizes, texts[4:6] if sizes else (), rows, texts[6])
    layout = lay_out([table], title=texts[3])
    assert layout.draw().size == layout.size
