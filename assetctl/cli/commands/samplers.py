"""assetctl samplers."""

from __future__ import annotations

from assetctl.cli.session import Session, command


@command(gives="samplers.SamplerListing", examples=["assetctl samplers", "assetctl samplers --json"])
def app(session: Session) -> None:
    """List samplers and schedules, by A1111's names and ComfyUI's, and whose pictures can be made with them."""
    found = session.registry.samplers()

    def render() -> None:
        rows = [(each.name, each.comfyui or "-", each.automatic, ", ".join(each.flavours)) for each in found.samplers]
        session.out.table(("SAMPLER", "COMFYUI", "AUTOMATIC", "FLAVOURS"), rows)
        session.out.table(
            ("SCHEDULE", "COMFYUI", "IN DIFFUSERS"),
            [(each.name, each.comfyui or "-", ", ".join(each.samplers) or "-") for each in found.schedules],
        )
        notes: dict[str, list[str]] = {}
        told = [(each.note, each.name) for each in found.samplers] + [
            (each.note, each.name) for each in found.schedules
        ]
        for note, name in told:
            if note is not None:
                notes.setdefault(note, []).append(name)
        for told_note, names in notes.items():
            session.out.note(f"{', '.join(names)}: {told_note}.")
        session.out.hint("Every sampler takes every schedule, but where `--flavour diffusers` samples.")

    session.out.result(found, render, (each.name for each in found.samplers))
