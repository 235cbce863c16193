"""What A1111 reads in a prompt and we do not is told, and nothing else is."""

from __future__ import annotations

import time
from typing import Any

import pytest
from patience import fair
from tables import table

from assetctl.prompt.syntax import foreign, overweight, unread


@pytest.mark.parametrize("case", table("prompts/unread"))
def test_tells_what_is_not_read_as_a1111_does_and_nothing_else(case: dict[str, Any]):
    remarks = unread(case["text"], case.get("flavour", "diffusers"))
    assert len(remarks) == len(case["told"])
    for part in case["told"]:
        assert any(part in remark.message for remark in remarks)
    assert all(remark.hint and case.get("hint", "") in remark.hint for remark in remarks)


@pytest.mark.parametrize("case", table("prompts/foreign"))
def test_tells_what_other_programs_read_each_sort_once(case: dict[str, Any]):
    remarks = foreign(case["text"])
    assert len(remarks) == len(case["told"]), remarks
    assert all(any(part in remark.message for remark in remarks) for part in case["told"])


@pytest.mark.parametrize("case", table("prompts/overweight"))
def test_tells_weights_that_burn_pictures(case: dict[str, Any]):
    assert len(overweight(case["text"])) == case["count"]


@pytest.mark.parametrize(
    "unit",
    ["[", "[a|", "[a|]", ":", ": 1 ", "<lora:", "<a:", "\\[", "[a:1", "[a|b", "|]", "{", "{a", "_", "_a", "a", "a+",
     "+", "-", ")1", "1", "1.", "::", "__a/", ")."],
)  # fmt: skip
def test_takes_time_linear_in_the_length(unit: str):
    started = time.process_time()
    unread(unit * (400_000 // len(unit)) + "]]]")
    foreign(unit * (400_000 // len(unit)))
    assert time.process_time() - started < fair(5)
