"""A manifest or a lockfile that is written says, when it is read again, what it said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from generated import names, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import table

from assetctl.manifest import (
    Locked,
    Lockfile,
    Manifest,
    Wanted,
    read_lock,
    read_manifest,
    write_lock,
    write_manifest,
)
from assetctl.manifest.lockfile import LockedFile
from assetctl.request import Request
from assetctl.text import hidden_in, visible
from assetctl.types import Facts

HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
OIDS = st.text("0123456789abcdef", min_size=40, max_size=40)
#: Values of one line in which all shows.
WORDS = texts(4).map(lambda text: visible(text).strip()).filter(lambda text: text and hidden_in(text) is None)
PROSE = texts(6).map(lambda text: visible(text, prose=True)).filter(bool)
LISTS = st.lists(WORDS, max_size=3).map(tuple)


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


def unlike(items: list, name: str = "name") -> list:
    """Those whose names differ by more than their case."""
    return list({getattr(item, name).lower(): item for item in items}.values())


WANTED = st.builds(
    Wanted,
    names(),
    WORDS,
    sha256=maybe(HASHES),
    kind=maybe(st.sampled_from(["checkpoint", "lora"])),
    family=maybe(st.sampled_from(["sd1", "sdxl"])),
    base_model=maybe(WORDS),
    trigger_words=maybe(LISTS),
    tags=LISTS,
    default_weight=maybe(st.integers(-400, 400).map(lambda number: number / 100)),
    notes=maybe(PROSE),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Manifests that make sense: a recipe names assets that are there."""
    wanted = tuple(unlike(draw(st.lists(WANTED, max_size=3))))
    of_these = st.sampled_from([item.name for item in wanted])
    several = st.lists(of_these, max_size=2).map(tuple) if wanted else st.just(())
    one = maybe(of_these) if wanted else st.none()
    sizes = st.sampled_from([{}, {"width": 512, "height": 768}, {"width": 64, "height": 64}])
    others = st.fixed_dictionaries({}, optional={
        "steps": st.integers(1, 100),
        "cfg_scale": st.integers(0, 300).map(lambda number: number / 10),
        "sampler": st.just("Euler a"),
        "clip_skip": st.integers(1, 12),
        "seed": st.integers(-1, 2**32 - 1),
    })  # fmt: skip
    recipes = st.builds(
        lambda loras, size, other, **fields: Request.of(
            loras=[f"{name}:{at - 0.5:g}" for at, name in enumerate(loras)], **size, **other, **fields
        ),
        loras=several,
        size=sizes,
        other=others,
        checkpoint=one,
        embeddings=several,
        vae=one,
        prompt=maybe(PROSE),
        negative_prompt=maybe(PROSE),
    )
    named = {name.lower(): (name, recipe) for name, recipe in draw(st.lists(st.tuples(names(), recipes), max_size=2))}
    return Manifest(wanted, dict(named.values()))


@st.composite
def lockfiles(draw: st.DrawFn) -> Lockfile:
    file = st.builds(LockedFile, WORDS, maybe(st.integers(0, 2**40)), maybe(HASHES), maybe(OIDS), maybe(WORDS))
    files = st.lists(file, min_size=1, max_size=3).map(
        lambda listed: tuple(replace(each, path=f"sub {at}/{at}.safetensors") for at, each in enumerate(listed))
    )
    facts = st.builds(
        Facts,
        base_model=maybe(WORDS),
        trigger_words=LISTS,
        kind=maybe(st.sampled_from(["lora"])),
        licence=maybe(WORDS),
        commercial=maybe(st.booleans()),
        page=maybe(WORDS),
        air=maybe(WORDS),
        creator=maybe(WORDS),
        source=st.sampled_from(["civitai", "huggingface"]),
    )
    locked = st.builds(
        Locked, names(), WORDS, WORDS, WORDS, maybe(WORDS), maybe(WORDS), st.sampled_from(["file", "diffusers"]),
        maybe(HASHES), files, maybe(facts), maybe(WORDS),
    )  # fmt: skip
    return Lockfile(tuple(unlike(draw(st.lists(locked, max_size=3)))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("registry")


@settings(max_examples=40)  # large ones
@given(manifest=manifests())
def test_a_manifest_that_is_written_is_read_again(folder, manifest: Manifest):
    path = folder / "registry.toml"
    path.write_text(write_manifest(manifest), "utf-8")
    assert read_manifest(path) == manifest


@settings(max_examples=40)
@given(lock=lockfiles())
def test_a_lockfile_that_is_written_is_read_again(folder, lock: Lockfile):
    path = folder / "registry.lock"
    write_lock(path, lock)
    assert read_lock(path) == lock


@pytest.mark.parametrize("case", table("registry/words"))
def test_a_word_that_is_written_is_read_again(tmp_path, case):
    wanted = Wanted("lora", f"./{case['word']}.safetensors", trigger_words=(case["word"],), tags=(case["word"],))
    path = tmp_path / "registry.toml"
    path.write_text(write_manifest(Manifest((wanted,))), "utf-8")
    assert read_manifest(path).assets == (wanted,)
