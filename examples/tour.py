"""Everything the command line does, from Python.

Usage: python examples/tour.py HOME
Takes the small family that ships with assetctl, pulls, imports, edits, checks, generates, verifies and removes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from assetctl import Changes, Registry, Request
from assetctl.demo import demo_assets
from assetctl.errors import IncompatibleError


def main(home: Path) -> None:
    """Take the tour in `home`."""
    family = demo_assets()
    with Registry.open(home) as registry:
        checkpoint = registry.pull(str(family.checkpoint)).asset
        print(f"pulled {checkpoint.name}: {checkpoint.kind} of {checkpoint.family}, {checkpoint.size} bytes")

        imported = registry.import_files(family.style, family.subject, family.negative, family.sdxl_lora)
        print(f"registered {imported.added} assets in place")

        style = registry.edit("demo-vintage", Changes(add_tags=("favourites",), default_weight=0.8))
        print(f"{style.name} is woken by {', '.join(style.trigger_words)}")
        print(f"the search finds {[asset.name for asset in registry.search('demo')]}")
        details = registry.inspect(style.sha256 or style.name)
        print(f"its AutoV3 is {details.files[0].autov3}")

        prompt = "an (orange: 1.2) cat on a blue background, vintage"
        chosen = Request.of(
            prompt, checkpoint=checkpoint.name, loras=["demo-vintage", "demo-cat:0.9"], steps=12, seed=7
        )
        print(f"this fits: {registry.check(chosen).ok}")
        for finding in registry.check(Request.of(checkpoint=checkpoint.name, loras=["demo-sdxl-lora"])).findings:
            print(f"{finding.severity}: {finding.message}")

        try:
            result = registry.generate(chosen)
        except IncompatibleError as error:
            print(error.message, [finding.message for finding in error.findings])
            raise
        print(f"made {result.images[0].path} in {result.timings['total']:.1f} s")
        print(f"recorded: {registry.history()[0].prompt}")

        print(f"all as it was: {all(file.status == 'ok' for file in registry.verify())}")
        registry.remove(registry.plan_removal("demo-sdxl-lora"))
        print(f"left: {[asset.name for asset in registry.list()]}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/tour.py HOME")
    main(Path(sys.argv[1]))
