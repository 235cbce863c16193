"""Which file of an answer of Civitai's comes, however odd the answer; nothing is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tables import table

from assetctl.errors import AssetctlError
from assetctl.sources.civitai import CivitaiSource

if TYPE_CHECKING:
    from servers.civitai import Civitai


@pytest.mark.parametrize("case", table("references/civitai_answers"))
def test_an_odd_answer_is_read_for_what_it_says(civitai: Civitai, case: dict[str, Any]):
    civitai.add(7, 42, ("x.safetensors", b"x"), **case.get("version", {}))
    civitai.versions[42]["files"] = case["files"]
    reference = case.get("reference", "civitai:7@42")
    if "refused" in case:
        with pytest.raises(AssetctlError) as caught:
            CivitaiSource().resolve(reference)
        assert caught.value.code == case["refused"]
        assert case.get("says", "") in caught.value.message
        return
    came = CivitaiSource().resolve(reference)
    (file,) = came.files
    url = (file.url or "").removeprefix(civitai.url)
    found = {"path": file.path, "size": file.size, "sha256": file.sha256, "url": url}
    assert {key: found[key] for key in case["comes"]} == case["comes"]
    assert case.get("says", "") in " ".join(came.warnings)
