"""What can happen to a home: commands, writes by others, kills."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losing.world import World, back_up, embedding, fresh_world, model_folder, was_staged

from assetctl.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable

#: How many steps a sequence has.
LENGTH = 14


def warm_up(folder: Path) -> None:
    """Import what commands import, and make a catalog: each command is a fork of this process, and does neither."""
    with fresh_world(folder, 0) as world:
        world.write(world.user / "a" / "cat.safetensors", embedding(world.chance))
        world.write(world.project / "dog.safetensors", embedding(world.chance))
        (world.project / "registry.toml").write_text('[assets.dog]\nsource = "./dog.safetensors"\n')
        manifest = world.project / "registry.toml"
        for words in (
            ["list"], ["import", world.user], ["import", "--move", world.user], ["sync", "--file", manifest, "--prune"],
            ["inspect", "dog"], ["edit", "dog", "--tag", "x"], ["rm", "dog", "--yes"], ["trash", "restore", "dog"],
            ["verify"], ["dedupe"], ["prune"],
        ):  # fmt: skip
            assert world.assetctl(*words, "--json", here=True).code == 0, words
    Catalog(folder / "empty.db").close()


def run_sequence(folder: Path, seed: int) -> None:
    """One random sequence, in a folder that is warmed up.

    Raises:
        AssertionError: Something was lost; the message names the seed and the steps.
    """
    with fresh_world(folder, seed) as world:
        shutil.copyfile(folder / "empty.db", world.home / "catalog.db")
        try:
            for _ in range(world.chance.randint(2, 4)):
                write_file(world)
            world.chance.choice([import_copy, import_move, pull, import_in_place])(world)
            for _ in range(LENGTH):
                world.chance.choice(STEPS)(world)
        except AssertionError as error:
            steps = "\n  ".join(world.log)
            raise AssertionError(f"seed {seed}: {error}\nafter\n  {steps}") from error


# --- the person ------------------------------------------------------------------------------------------------------


def write_file(world: World) -> None:
    """A new file, in a folder of the person's, in the store, or in folders that assetctl made."""
    places = [world.user / "a", world.user / "b", world.project, world.store / "embeddings", world.store / "loras"]
    places += [path for path in world.home.rglob("*") if path.is_dir() and ".staging" not in path.parts]
    places = [place for place in places if not was_staged(place)]
    place = world.chance.choice(places)
    name = f"{world.chance.choice(['cat', 'dog', 'fox'])}{world.chance.randint(1, 3)}"
    is_note = world.chance.random() < 0.25
    content = world.chance.randbytes(40) if is_note else embedding(world.chance)
    path = place / f"{name}.{'txt' if is_note else 'safetensors'}"
    world.log.append(f"a person writes {path}")
    world.write(path, content)


def write_folder(world: World) -> None:
    """A diffusers folder with a note in it."""
    folder = world.user / f"model{world.chance.randint(1, 2)}"
    world.log.append(f"a person writes the folder {folder}")
    for name, content in (model_folder(world.chance) | {"mine.txt": world.chance.randbytes(30)}).items():
        world.write(folder / name, content)


def copy_file(world: World) -> None:
    """The same bytes at another place."""
    if (source := pick(world)) is not None:
        target = world.chance.choice([world.user / "b", world.store / "embeddings"]) / source.name
        if target != source:
            world.log.append(f"a person copies {source} to {target}")
            world.write(target, source.read_bytes())


def overwrite(world: World) -> None:
    """Other bytes of the same size, at times with the time kept, where assets lie too."""
    candidates = [*world.store.rglob("*.safetensors"), *world.user.rglob("*.safetensors")]
    candidates = [path for path in candidates if ".staging" not in path.parts and not path.is_symlink()]
    if candidates:
        path = world.chance.choice(sorted(candidates))
        world.log.append(f"a person overwrites {path}")
        if path.stat().st_nlink > 1:  # one file by several names: all of them change
            return
        world.given.discard(path)
        world.write(path, embedding(world.chance), keep_time=world.chance.random() < 0.5)


def delete_file(world: World) -> None:
    """The person deletes one of theirs."""
    if (path := pick(world)) is not None:
        world.log.append(f"a person deletes {path}")
        world.delete(path)


def add_to_folder(world: World) -> None:
    """A note inside an asset's folder in the store, or its companion."""
    folders = [path for path in (world.store / "diffusers").glob("*") if path.is_dir()]
    folders += [path.with_suffix(".config") for path in world.store.glob("embeddings/*.safetensors")]
    if folders:
        path = world.chance.choice(sorted(folders)) / "mine.txt"
        world.log.append(f"a person writes {path}")
        world.write(path, world.chance.randbytes(30))


def keep_catalog(world: World) -> None:
    """A copy of the catalog is kept, or an older one put back."""
    if not (world.home / "catalog.db").exists():
        return
    if not world.catalogs or world.chance.random() < 0.5:
        world.log.append("a person copies the catalog")
        back_up(world)
        return
    world.log.append("a person puts an older catalog back")
    for suffix in ("-wal", "-shm"):
        (world.home / f"catalog.db{suffix}").unlink(missing_ok=True)
    shutil.copyfile(world.chance.choice(world.catalogs), world.home / "catalog.db")


def pick(world: World) -> Path | None:
    """A file that lies where the person put it."""
    there = sorted(path for path in world.here if path.is_file())
    return world.chance.choice(there) if there else None


# --- commands --------------------------------------------------------------------------------------------------------


def in_store(world: World, path: Path) -> bool:
    return path.is_relative_to(world.store)


def models(world: World) -> list[Path]:
    """What can be imported: files and folders."""
    files = [path for path in world.here if path.suffix == ".safetensors" and path.is_file()]
    folders = [path.parent for path in world.here if path.name == "model_index.json"]
    return sorted({*files, *folders, world.user / "a", world.user / "b"})


def do(world: World, *arguments: object, may_go: set[Path] = frozenset(), lifted: set[str] = frozenset()) -> Any:
    """Run a command, killed now and then, and see that nothing is lost."""
    before = world.lying()
    kill = world.chance.random() < 0.2
    ended = world.assetctl(*arguments, kill=kill)
    world.check(before, may_go, lifted)
    return ended.data


def listed(world: World) -> list[dict[str, Any]]:
    return world.assetctl("list", "--json").data or []


def import_in_place(world: World) -> None:
    target = world.chance.choice([*models(world), world.user, world.store])
    do(world, "import", target, "--json")


def import_copy(world: World) -> None:
    add_to_store(world, "--copy")


def import_move(world: World) -> None:
    add_to_store(world, "--move")


def add_to_store(world: World, how: str) -> None:
    """Into the store: whatever was named counts as given, also where it lies in the store already."""
    target = world.chance.choice(models(world))
    named = {path for path in world.here if path == target or path.is_relative_to(target)}
    taken = {path for path in named if path.suffix in (".safetensors", ".json")}
    mended = world.disguised | world.overwritten
    do(world, "import", how, target, "--json", may_go=taken | mended if how == "--move" else mended)
    if how == "--move":
        world.given |= {path for path in named if in_store(world, path)}


def pull(world: World) -> None:
    target = world.chance.choice(models(world))
    do(world, "pull", target, "--json", may_go=world.disguised | world.overwritten)


def edit(world: World) -> None:
    for asset in listed(world)[:1]:
        do(world, "edit", asset["path"], "--tag", world.chance.choice(["x", "y"]), "--json")


def remove(world: World) -> None:
    """An asset's own files of the store go; a person's only if that is said."""
    assets = listed(world)
    if not assets:
        return
    asset = world.chance.choice(assets)
    said = world.chance.random() < 0.4
    now = world.chance.random() < 0.3
    inspected = world.assetctl("inspect", asset["path"], "--json").data
    known = {Path(file["path"]): file["sha256"] for file in inspected["files"]} if inspected else {}
    files = set(known)
    own = {path for path in files if is_given(world, path)}
    may_go = files if said else own
    lying = world.lying()
    as_known = {path for path in may_go if known[path] in (None, lying.get(path))}  # others are kept in the trash
    lifted = {lying[path] for path in as_known if path in lying} if now else set()
    flags = (["--delete-files"] if said else []) + (["--now"] if now else [])
    do(world, "rm", asset["path"], "--yes", *flags, "--json", may_go=may_go, lifted=lifted)


def is_given(world: World, path: Path) -> bool:
    """Whether assetctl put a file into the store, or was given it by name; or it looks so by its size and time."""
    return in_store(world, path) and (path not in world.here or path in world.given or path in world.disguised)


def restore(world: World) -> None:
    entries = world.assetctl("trash", "--json").data or []
    if entries:
        chosen = world.chance.choice(entries)["id"]
        inside = {path for path in world.here if path.is_relative_to(world.trash / f".{chosen}")}
        do(world, "trash", "restore", chosen, "--json", may_go=inside)


def empty(world: World) -> None:
    if world.chance.random() < 0.3:
        lying = world.lying()
        gone = {found for path, found in lying.items() if path.is_relative_to(world.trash)}
        theirs = {path for path in world.here if path.is_relative_to(world.trash)}
        do(world, "trash", "empty", "--yes", "--json", lifted=gone - {world.here[path] for path in theirs})


def prune(world: World) -> None:
    flags = world.chance.choice([[], ["--now"], ["--missing"], ["--missing", "--now"]])
    do(world, "prune", "--yes", *flags, "--json", may_go=world.disguised)


def dedupe(world: World) -> None:
    flags = world.chance.choice([[], ["--link"], ["--link", "--outside"], ["--link", "--hard-links"]])
    do(world, "dedupe", *flags, "--yes", "--json")


def verify(world: World) -> None:
    do(world, "verify", "--json")


def sync(world: World) -> None:
    """A manifest of what lies beside it, and what nothing names pruned at times."""
    files = sorted(path for path in world.project.glob("*.safetensors"))
    lines = [f'[assets.{path.stem}]\nsource = "./{path.name}"\ntags = ["wanted"]\n' for path in files]
    manifest = world.project / "registry.toml"
    (world.project / "registry.lock").unlink(missing_ok=True)
    manifest.write_text("".join(lines))
    flags = ["--prune"] if world.chance.random() < 0.5 else []
    own = {path for path in world.store.rglob("*") if is_given(world, path)}
    do(
        world,
        "sync",
        "--file",
        manifest,
        *flags,
        "--json",
        may_go=world.overwritten | (own if flags else set()),
    )


STEPS: list[Callable[[World], None]] = [
    write_file, write_file, write_folder, copy_file, overwrite, delete_file, add_to_folder, keep_catalog,
    import_in_place, import_copy, import_move, import_move, pull, edit, remove, remove, remove, restore, restore,
    empty, prune, prune, dedupe, verify, sync,
]  # fmt: skip
