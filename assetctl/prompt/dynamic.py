"""Dynamic prompts: `{red|blue}` and `__animals__` are drawn by chance, by the package of the extension of that name.

What its templates can say is in its own documentation: https://github.com/adieyal/dynamicprompts.
"""

from __future__ import annotations

import logging
import os
import stat
import warnings
from collections import OrderedDict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import FileError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bounds of what is read: characters of a template, brackets within brackets, bytes of a file, files of a folder,
#: lists of a file, and wildcards that one prompt comes to, those within others included.
_TEMPLATE, _DEPTH, _FILE, _FILES, _LISTS, _LOOKUPS = 20_000, 20, 8_000_000, 20_000, 20_000, 1_000

#: The longest prompt that a template may become, in characters.
_LONGEST = 100_000

_STRUCTURED = (".yaml", ".json")


def draw(template: str, seed: int, folder: Path | None = None, passed: set[Path] | None = None) -> str:
    """The prompt that a template comes to by the chance of a seed: one seed, one prompt.

    Args:
        template: A prompt with `{a|b}`, `__name__` and what else the package reads.
        seed: Of the picture.
        folder: Where `name.txt`, a value a line, and lists in `.yaml` and `.json` files lie.
        passed: Gets what has the name of a file of wildcards and is none, such as a pipe: it is passed over.

    Raises:
        UsageError: The template makes no sense, or names a wildcard that there is not.
        FileError: A file of wildcards cannot be read.
        MissingExtraError: The package is not installed.
    """
    with warnings.catch_warnings():  # what the package says to programmers is of no use to whoever wrote a prompt
        warnings.simplefilter("ignore")
        return _drawn(template, seed, folder, set() if passed is None else passed)


def _drawn(template: str, seed: int, folder: Path | None, passed: set[Path]) -> str:
    """See `draw`."""
    try:
        from dynamicprompts.generators import RandomPromptGenerator  # noqa: PLC0415 - only these prompts pay
        from pyparsing import ParseBaseException  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "Dynamic prompts need a package that is not installed: dynamicprompts.",
            "Install it with `pip install 'assetctl[generate]'`.",
        ) from error
    if not template:  # the package draws nothing of nothing
        return template
    logging.getLogger("dynamicprompts").setLevel(logging.CRITICAL)  # what it would say is said below
    if len(template) > _TEMPLATE or _depth(template) > _DEPTH:
        raise UsageError(
            f"The template is too long, or its brackets too deep: {_TEMPLATE} characters and {_DEPTH} are the most.",
            "Put parts of it into files of wildcards.",
        )
    try:
        wildcards = _wildcards(folder, passed, names_wildcards="__" in template)
        (prompt,) = RandomPromptGenerator(wildcards, seed=seed).generate(template, 1)
    except ParseBaseException as error:
        near = template[error.loc : error.loc + 20]
        raise UsageError(
            f"The template cannot be read from {near!r} on.",
            "{, }, $, % and # have a meaning in dynamic prompts; without --dynamic they are words.",
        ) from error
    except RecursionError as error:
        raise UsageError(
            "The template never ends: a wildcard names itself.", "Look into the files of wildcards."
        ) from error
    except (ValueError, IndexError, StopIteration) as error:
        raise UsageError(f"The template makes no sense: {error}.", "See what it would draw from.") from error
    if len(prompt) > _LONGEST:
        raise UsageError(f"The template comes to a prompt of {len(prompt)} characters.", "Look into its wildcards.")
    return str(prompt).strip()


def _depth(text: str) -> int:
    """How deep brackets stand in brackets."""
    deepest = depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        deepest = max(deepest, depth)
    return deepest


def _wildcards(folder: Path | None, passed: set[Path], *, names_wildcards: bool) -> Any:  # noqa: ANN401 - a class of the package
    """A manager of wildcards, which are read within bounds: those of texts when they are named, lists when any is.

    Args:
        folder: Where files lie.
        passed: See `draw`.
        names_wildcards: Whether the template may name any; nothing is looked at otherwise.
    """
    from dynamicprompts.wildcards import WildcardManager  # noqa: PLC0415 - as above
    from dynamicprompts.wildcards.collection import WildcardCollection  # noqa: PLC0415

    class Lines(WildcardCollection):
        """A text file: a value a line, comments behind `#`."""

        def __init__(self, path: Path) -> None:
            self.path = path

        def get_values(self) -> list[str]:
            lines = (line.strip() for line in _text(self.path).splitlines())
            return [line for line in lines if line and not line.startswith("#")]

    class Bounded(WildcardManager):
        """Counts what is asked of it, and does not take a name for its own value."""

        asked = 0

        def get_values(self, wildcard: str) -> Any:  # noqa: ANN401
            self.asked += 1
            if self.asked > _LOOKUPS:
                raise UsageError(
                    f"The template comes to more than {_LOOKUPS} wildcards.", "Look into the files of wildcards."
                )
            values = super().get_values(wildcard)
            if not values:
                there = "Name their folder with --wildcards." if folder is None else f"They are looked for in {folder}."
                error = broken.get(wildcard) or next(iter(broken.values()), None)
                unread = "" if error is None else f" Not read: {error}"
                raise UsageError(f"There is no wildcard {wildcard!r:.60}, or nothing in it.", f"{there}{unread}")
            return values

    broken: dict[str, FileError] = {}  # nobody may have meant these
    lists: dict[str, Any] = {}
    for path, name in _files(folder if names_wildcards else None):
        if not path.is_file():  # opening a pipe would wait for whoever writes to it
            passed.add(path)
            broken[name] = FileError(f"{path} is no file.", "Files of wildcards are texts.")
        elif path.suffix == ".txt":
            lists[name] = Lines(path)
        else:
            above = name.rpartition("/")[0]
            try:
                lists |= {f"{above}/{each}".strip("/"): values for each, values in _known(path)}
            except FileError as error:
                broken[name] = error
    return Bounded(root_map={"": [lists]})


def _files(folder: Path | None) -> Iterator[tuple[Path, str]]:
    """Files of wildcards below a folder, with their names from there, without the suffix; links are not followed."""
    if folder is None:
        return
    count = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if path.suffix not in (".txt", *_STRUCTURED) or name.startswith(".") or path.is_symlink():
                continue
            count += 1
            if count > _FILES:
                raise UsageError(f"{folder} has more than {_FILES} files.", "Name a smaller folder with --wildcards.")
            yield path, path.relative_to(folder).with_suffix("").as_posix()


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise FileError(f"{path} is no file.", "Files of wildcards are texts.")
        with path.open("rb") as file:
            data = file.read(_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) > _FILE:
        raise FileError(f"{path} is larger than {_FILE // 1_000_000} MB.", "Split it.")
    return data.decode("utf-8-sig", errors="replace")


#: What lists' files held when they were read last, with the state that each was in; and how many are remembered,
#: which are more files than most folders have.
_seen: OrderedDict[Path, tuple[tuple[int, int], list[tuple[str, Any]] | FileError]] = OrderedDict()
_MOST_SEEN, _MOST_BYTES = 1000, 32_000_000


def _known(path: Path) -> list[tuple[str, Any]]:
    """As `_structured`, read again only where the file is another than it was.

    Raises:
        FileError: It cannot be read.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise _unreadable(path, error) from error
    state = found.st_mtime_ns, found.st_size
    before, held = _seen.pop(path, (None, []))
    if before != state:
        try:
            held = _structured(path)
        except FileError as error:
            held = error
    _seen[path] = state, held
    while len(_seen) > _MOST_SEEN or sum(size for (_, size), _ in _seen.values()) > max(_MOST_BYTES, state[1]):
        _seen.popitem(last=False)
    if isinstance(held, FileError):
        raise FileError(held.message, held.hint)  # anew: one that is raised again grows
    return held


def _unreadable(path: Path, error: OSError) -> FileError:
    return FileError(f"{path} cannot be read: {error.strerror}.", "See who may read it.")


def _structured(path: Path) -> list[tuple[str, Any]]:
    """The lists of a YAML or JSON file; one that refers to its own parts could be without end, and is refused."""
    import yaml  # noqa: PLC0415 - only such files pay
    from dynamicprompts.wildcards.collection.structured import parse_structured_file  # noqa: PLC0415

    text = _text(path)
    try:
        if path.suffix == ".yaml" and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise FileError(f"{path} has anchors and aliases.", "Write its lists out.")
        return list(islice(parse_structured_file(path), _LISTS))
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{path} cannot be read as {path.suffix[1:].upper()}.", "Look into it.") from error
