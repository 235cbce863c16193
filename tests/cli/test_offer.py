"""Someone without a checkpoint is offered the demo family."""

from __future__ import annotations

import pytest
from terminal import at_a_terminal, needs_terminal

ASKED = ("generate", "a red star", "--dry-run")


@needs_terminal
@pytest.mark.parametrize(("answer", "code", "shown"), [("y", 0, "demo-checkpoint"), ("n", 3, "assetctl demo --pull")])
def test_a_person_without_a_checkpoint_is_offered_one(tmp_path, answer, code, shown):
    seen, ended = at_a_terminal(tmp_path, *ASKED, answer=answer)
    assert "There is no checkpoint yet." in seen
    assert shown in seen
    assert ended == code


def test_a_script_is_told_where_to_get_one(assetctl):
    ended = assetctl("generate", "a red star", "--dry-run", "--json")
    assert (ended.code, ended.error["code"]) == (3, "not_found")
    assert "assetctl demo --pull" in ended.error["hint"]
