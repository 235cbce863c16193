"""What a person says of a file outlasts every look that we take at it."""

from __future__ import annotations

from headers import write_safetensors

from assetctl import Registry
from assetctl.operations.library.edit import Changes


def test_a_file_that_no_plugin_knows_keeps_a_persons_label(tmp_path):
    path = write_safetensors(tmp_path / "odd.safetensors", {"novel.weight": [4, 4]})
    with Registry.open(tmp_path / "home") as registry:
        registry.import_files(path)
        assert (registry.get("odd").kind, registry.get("odd").family) == ("unknown", None)
        registry.edit("odd", Changes(kind="lora", family="novel", base_model="Novel 2", trigger_words=("ohwx",)))
        registry.identify_again()
        registry.identify_again("odd")
    with Registry.open(tmp_path / "home") as registry:
        asset = registry.get("odd")
        assert (asset.kind, asset.family, asset.base_model) == ("lora", "novel", "Novel 2")
        assert asset.trigger_words == ("ohwx",)
        assert registry.inspect("odd").overrides["family"] == "novel"
