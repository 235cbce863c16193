"""What a person sees at a terminal of some width."""

from __future__ import annotations

from material import write_lora
from terminal import at_a_terminal, needs_terminal

pytestmark = needs_terminal


def test_a_table_is_as_wide_as_the_terminal(assetctl, home, tmp_path):
    name = "a-name-of-some-hundred-characters-" * 3
    assetctl("import", write_lora(tmp_path / f"{name}.safetensors"))
    assert name in at_a_terminal(home, "list", width=240)[0]
    assert name not in at_a_terminal(home, "list", width=60)[0]


def test_no_color_is_asked_for(home):
    assert "\x1b[" in at_a_terminal(home, "inspect", "nobody")[0]
    assert "\x1b[" not in at_a_terminal(home, "inspect", "nobody", NO_COLOR="1")[0]
