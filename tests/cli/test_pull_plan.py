"""What `pull --dry-run` says, and that it does nothing."""

from __future__ import annotations

import hashlib

from material import write_lora


def test_a_dry_run_says_what_would_come_and_fetches_nothing(assetctl, home, hub, tmp_path):
    content = write_lora(tmp_path / "w.safetensors", "sdxl").read_bytes()
    hub.add("ann/cats", {"whiskers.safetensors": content})
    (plan,) = assetctl("pull", "hf://ann/cats", "--dry-run", "--json").data
    assert (plan["name"], plan["size"], plan["missing"], plan["here"]) == ("whiskers", len(content), len(content), None)
    sha256 = hashlib.sha256(content).hexdigest()
    assert plan["files"] == [{"path": "whiskers.safetensors", "size": len(content), "sha256": sha256}]
    assert hub.downloads("/blobs/") == []
    assert not (home / "models").exists()
    assert assetctl("list", "--json").data == []

    assetctl("pull", "hf://ann/cats")
    (plan,) = assetctl("pull", "hf://ann/cats", "--dry-run", "--json").data
    assert (plan["missing"], plan["here"]) == (0, "whiskers")
    assert "is here already, as whiskers" in assetctl("pull", "hf://ann/cats", "--dry-run").out


def test_a_dry_run_counts_what_an_interrupted_pull_left(assetctl, hub, tmp_path, monkeypatch):
    monkeypatch.setattr("assetctl.sources._download.PAUSES", (0.0,))
    content = write_lora(tmp_path / "w.safetensors", "sdxl").read_bytes()
    hub.add("ann/cats", {"whiskers.safetensors": content})
    hub.cut_after, hub.cuts = len(content) // 2, 1
    hub.after_cuts = {"/blobs/": 503}
    assert assetctl("pull", "hf://ann/cats").code == 6
    (plan,) = assetctl("pull", "hf://ann/cats", "--dry-run", "--json").data
    assert plan["fetched"] == len(content) // 2
    assert plan["missing"] == len(content) - len(content) // 2
    assert "from an earlier try" in assetctl("pull", "hf://ann/cats", "--dry-run").out
