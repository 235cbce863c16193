"""Questions to the catalog about one asset, its files and all that is known of it."""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import unicodedata
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from assetctl.catalog.listing import Lists
from assetctl.catalog.rows import (
    ALL,
    IDENTIFIED,
    NUMBER,
    NUMBER_OR_NONE,
    TABLES,
    TEXT,
    TEXT_OR_NONE,
    DamagedError,
    Kinds,
    KnownFile,
    check_paths,
    explained,
    fields,
    from_json,
    items,
    set_by_hand,
    some,
    words,
)
from assetctl.errors import AmbiguousNameError, AssetctlError, FileError, NotFoundError
from assetctl.text import model_path, without_suffix
from assetctl.types import Asset, AssetDetails, AssetFile, Confidence, Evidence, Facts, FileRole, Identification, Origin

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from assetctl.errors import CatalogError

_HASH = re.compile(r"[0-9a-f]{6,64}")

#: How many digits of an AutoV3 the field uses, and the catalog keeps.
_AUTOV3 = 12

#: Among how many names to each side a similar one is looked for: comparing is slow.
_NEIGHBOURS = 1000

#: How many assets a hint tells apart.
_MOST_SHOWN = 4

_FILE = some("files", "id", "asset_id")
_ORIGIN = some("origins", "asset_id")
_IDENTIFICATION = some("identifications", "asset_id", "identified_at")
_NAME = {"name": TEXT}
_OVERRIDE = some("overrides", "asset_id", "set_at")
_KNOWN_FILE = {
    "path": TEXT, "asset_id": NUMBER, "asset's path": TEXT, "role": TEXT, "size": NUMBER, "mtime_ns": NUMBER,
    "sha256": TEXT_OR_NONE,
}  # fmt: skip
_USAGE = {"kind": TEXT, "family": TEXT_OR_NONE, "count": NUMBER, "size": NUMBER_OR_NONE, "stored size": NUMBER_OR_NONE}
_ALIAS = {"id": NUMBER, "alias": TEXT_OR_NONE, "path": TEXT}
_NAMED_FILE = {"id": NUMBER, "name": TEXT, "path": TEXT}
_COPY = {"id": NUMBER, "path": TEXT, "copy's path": TEXT, "size": NUMBER}
_RESULT: dict[str, Kinds] = {name: TABLES["assets"][name] for name in IDENTIFIED} | {"trigger_words": frozenset({list})}
_EVIDENCE: dict[str, Kinds] = dict.fromkeys(("source", "claim", "detail"), TEXT)
_FACTS: dict[str, Kinds] = {
    **dict.fromkeys(("base_model", "kind", "licence", "page", "air", "creator"), TEXT_OR_NONE),
    "source": TEXT,
    "trigger_words": frozenset({list}),
    "commercial": frozenset({bool, NoneType}),
}


#: A name with a hash behind it, as A1111 and others write checkpoints.
TITLE = re.compile(r"(.*\S)\s*\[([0-9A-Fa-f]{6,64})\]\s*", re.DOTALL)

#: What is more likely to be meant for a file than for an asset: a picture, or a model, by what it ends in.
_FILE_NAME = re.compile(r"\.(?:safetensors|sft|ckpt|pth?|bin|gguf|png|jpe?g|webp|avif)\Z", re.IGNORECASE)

#: How names are compared, the strictest way first: with or without regard to case, and to what a file ends in.
_SPELLINGS = tuple((fold, strip) for fold in (str, str.casefold) for strip in (False, True))


class Reader(Lists):
    """Questions to the catalog; every answer is made of frozen dataclasses.

    Args:
        connect: As `Asking` has it.
        path: The catalog.
        damaged: Likewise.
        elsewhere: Tells a person where else there is something of a name that no asset has; `None` if nowhere.
        paths: Whether names may be paths of this machine, which are then looked at; else what is asked for by
            somebody elsewhere is sought in the catalog alone, and no answer tells what lies on the disk.
        learn: Keeps what the metadata of files call them, by the numbers of their assets, where it can.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        path: Path,
        damaged: Callable[[CatalogError], None] | None = None,
        *,
        elsewhere: Callable[[str], str | None] | None = None,
        paths: bool = True,
        learn: Callable[[Mapping[int, str]], None] | None = None,
    ) -> None:
        super().__init__(connect, path, damaged)
        self._elsewhere, self._paths, self._learn = elsewhere, paths, learn
        self._looked_into: dict[int, str] = {}

    def find(self, name: str) -> Asset:
        """The asset of this name, path, or hash of six digits or more.

        Names are kept in Unicode's composed form; who pastes one from a Mac has it decomposed. The name that a list
        shows decides, though several files may be called so: it is the asset's alone. In a prompt, a name is a file's,
        and may be meant for another one (see `find_named`).

        Raises:
            NotFoundError: There is none; the hint names similar ones, or what to do with a file of that path.
            AmbiguousNameError: There are several; the message lists them.
        """
        return self._only(name, (self._by_name, self._by_path, self._by_hash, self._by_file, self.by_alias))

    def find_named(self, name: str, kind: str) -> Asset:
        """The asset of a kind that a prompt names, as A1111 and ComfyUI name files: with or without folders and suffix.

        A path decides, from the library's folder or any part of it; a name that two files have is none of them. What
        is no file's name may be a hash, or what the file's metadata call it.

        Raises:
            NotFoundError, AmbiguousNameError: As of `find`.
        """

        def fitting(meaning: Callable[[str], list[Asset]]) -> Callable[[str], list[Asset]]:
            return lambda spelling: [asset for asset in meaning(spelling) if asset.kind in (kind, "unknown")]

        meanings = (self._by_path, self.named, self._by_title, self._by_hash, self.by_alias)
        # where nothing of that kind is called so, something else is: it can be told what it is
        return self._only(name, (*map(fitting, meanings), *meanings[:-1]))

    def _only(self, name: str, meanings: Sequence[Callable[[str], list[Asset]]]) -> Asset:
        """The one asset that the first of some meanings gives which gives any."""
        spellings = dict.fromkeys((name, unicodedata.normalize("NFC", name)))
        for candidates in (meaning(spelling) for meaning in meanings for spelling in spellings):
            if len(candidates) == 1:
                return candidates[0]
            if candidates:
                refuse_ambiguous(name, candidates)
        if self._paths and os.path.isfile(os.path.expanduser(name)):  # noqa: PTH111, PTH113 - as in `_lying_at`
            typed = shlex.quote(name)
            hint = f"`assetctl identify {typed}` says what it is; `assetctl import {typed}` takes in a model."
            raise NotFoundError(f"{name} is a file, and not in the catalog.", hint)
        there = None if self._elsewhere is None else self._elsewhere(name)
        told = f"There is no asset {name!r}."
        if self._paths and _FILE_NAME.search(name):
            told = f"There is no file {name}, and no asset goes by that name."
        raise NotFoundError(told, there or self._similar(name))

    def by_id(self, asset_id: int) -> Asset:
        """The asset of this number.

        Raises:
            NotFoundError: Another command has removed it meanwhile.
        """
        found = self._assets(f"{ALL} WHERE id = ?", [asset_id])
        if not found:
            raise NotFoundError("The asset was removed meanwhile.", "`assetctl list` shows what is there.")
        return found[0]

    def by_sha256(self, sha256: str) -> Asset | None:
        """The asset that has exactly these bytes, if there is one."""
        found = self._assets(f"{ALL} WHERE sha256 = ? ORDER BY id LIMIT 1", [sha256])
        return found[0] if found else None

    def by_hash(self, digits: str) -> list[Asset]:
        """Assets of which some hash begins with these hex digits, six or more; AutoV3 is kept with its first twelve."""
        found = self._by_hash(digits)
        if not found and len(digits) > _AUTOV3:
            query = f"{ALL} WHERE autov3 = ? ORDER BY name"
            found = self._assets(query, [digits.lower()[:_AUTOV3]])
        return found

    def named(self, name: str, *, shorter: bool = False) -> list[Asset]:
        r"""Assets that a file's name means, as any program writes it: with or without folders and suffix.

        Letters as they are written come first; other cases of them, and other suffixes, count where nothing is
        spelled so. Of files that end in the same folders, the one counts whose library holds the others' too.

        Args:
            name: `sample`, `char/sample`, `char\sample.safetensors`; or an asset's own name.
            shorter: Whether fewer of the folders will do where no file has them all, as of other machines' paths.
        """
        wanted = _composed(name)
        if not wanted:
            return []
        rows = self._files_like(wanted[-1])
        deepest = min(len(wanted), max((len(each) for row in rows for each in row[1:]), default=0))
        lengths = range(deepest, 0, -1) if shorter or _is_absolute(name) else [len(wanted)]
        for length in lengths:
            for fold, strip in _SPELLINGS:
                sought = _spelled(wanted[-length:], fold, strip=strip)
                found: dict[int, tuple[str, ...]] = {}
                for number, own, path in rows:
                    before = _before(path, sought, fold, strip=strip)
                    if before is None and length == 1:
                        before = _before(own, sought, fold, strip=strip)
                    if before is not None:
                        found[number] = min(found.get(number, before), before, key=len)
                if found:
                    return self._in_order(_outermost(found) if length > 1 else found)
        return []

    def _files_like(self, name: str) -> list[tuple[int, tuple[str, ...], tuple[str, ...]]]:
        """Number and name of assets, and the path of each file, that may be called so; both in their parts."""
        stem = without_suffix(name)
        query = (
            "SELECT a.id, a.name, coalesce(f.path, a.path) FROM assets a "
            "LEFT JOIN files f ON f.asset_id = a.id AND f.role <> 'part'"
        )
        pattern = _like(os.sep) + _like(stem)
        values = ["%" + pattern + "%", pattern[len(_like(os.sep)) :] + "%"]
        if stem.isascii():  # SQLite knows no other letters' cases, nor how they are composed
            query += " WHERE f.path LIKE ?1 ESCAPE '\\' OR a.path LIKE ?1 ESCAPE '\\' OR a.name LIKE ?2 ESCAPE '\\'"
        rows = self._rows(query, values if stem.isascii() else [], _NAMED_FILE)
        wanted = {name.casefold(), stem.casefold()}
        found = ((row[0], _composed(row[1]), _composed(row[2])) for row in rows)
        return [row for row in found if _may_be(row[1], wanted) or _may_be(row[2], wanted)]

    def _in_order(self, numbers: Iterable[int]) -> list[Asset]:
        return sorted(self.by_ids(numbers), key=lambda asset: asset.name)

    def by_alias(self, name: str) -> list[Asset]:
        """LoRAs whose own metadata call them so, as A1111 writes them into prompts: in these letters, or any case."""
        query = "SELECT id, alias, path FROM assets WHERE kind = 'lora' AND format = 'safetensors' ORDER BY id DESC"
        rows = self._rows(query, [], _ALIAS)
        aliases = {row[0]: row[1] for row in rows} | self._within({row[0]: row[2] for row in rows if row[1] is None})
        for fold in (str, str.casefold):
            wanted = fold(unicodedata.normalize("NFC", name).strip())
            found = [number for number, alias in aliases.items() if alias and fold(alias) == wanted]
            if found:
                return self._in_order(found)
        return []

    def _within(self, paths: Mapping[int, str]) -> dict[int, str]:
        """What the metadata of files call them that an older assetctl registered, by their assets' numbers.

        Each is looked into once, and that is kept. What cannot be read now may be there the next time.
        """
        there = ((number, _alias(path)) for number, path in paths.items() if number not in self._looked_into)
        found = {number: alias for number, alias in there if alias is not None}
        self._looked_into |= found
        if found and self._learn is not None:
            self._learn(found)
        return {number: self._looked_into[number] for number in paths if number in self._looked_into}

    def called(self, name: str) -> list[Asset]:
        """Assets that go by this name in any case, or a file of which is called so, without folders and suffix."""
        file_name = _like(os.sep + name)
        return self._assets(
            f"{ALL} WHERE name = ?1 COLLATE NOCASE OR id IN (SELECT asset_id FROM files "
            "WHERE role <> 'part' AND (path LIKE ?2 ESCAPE '\\' OR path LIKE ?2 || '.safetensors' ESCAPE '\\')) "
            "OR kind = 'embedding' AND id IN (SELECT asset_id FROM trigger_words WHERE word = ?1 COLLATE NOCASE) "
            "ORDER BY name <> ?1 COLLATE NOCASE, name",
            [name, "%" + file_name],
        )

    def see_that_it_is_whole(self) -> None:
        """Look at every page of the catalog, and at every index.

        Raises:
            CatalogError: One is damaged, or says something else than its table.
        """
        with explained(self._path):
            (found,) = self.connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise DamagedError(" ".join(str(found).split()).removeprefix("*** in database main *** "))

    def has_path(self, path: str) -> bool:
        """Whether this is the path of an asset, or of a copy of one."""
        return bool(self._lying_at(path))

    def at_path(self, path: str) -> Asset | None:
        """The asset that is recorded to lie at exactly this path."""
        found = self._assets(f"{ALL} WHERE path = ?", [path])
        return found[0] if found else None

    def unhashed(self) -> int:
        """How many assets lack a hash that a picture may name them by."""
        query = (
            "SELECT count(DISTINCT asset_id) FROM files WHERE role = 'main' AND (sha256 IS NULL OR blake3 IS NULL "
            "OR autov3 IS NULL AND asset_id IN (SELECT id FROM assets WHERE format = 'safetensors'))"
        )
        return int(self._rows(query, [])[0][0])

    def by_origin(self, source: str, url: str | None, revision: str) -> Asset | None:
        """The asset that came from exactly there, if there is one."""
        where = "id IN (SELECT asset_id FROM origins WHERE source = ? AND url IS ? AND revision = ?)"
        found = self._assets(f"{ALL} WHERE {where} ORDER BY id LIMIT 1", [source, url, revision])
        return found[0] if found else None

    def came_below(self, source: str, url: str, revision: str) -> list[tuple[Asset, str]]:
        """Assets that came from addresses that begin so, each with its own."""
        query = "SELECT asset_id, url FROM origins WHERE source = ? AND substr(url, 1, ?) = ? AND revision = ?"
        rows = self._rows(query, [source, len(url), url, revision])
        return [(self.by_id(number), address) for number, address in rows]

    def details(self, asset: Asset) -> AssetDetails:
        """All that the catalog knows of one asset; the file's own metadata is not among it."""
        return AssetDetails(
            asset=asset,
            files=self.files(asset),
            identification=self._identification(asset),
            overrides=self._overrides(asset),
            origin=self.origin(asset),
            generations=self.generations_with(asset),
        )

    def files(self, asset: Asset) -> tuple[AssetFile, ...]:
        """The asset's files, copies last."""
        rows = self._rows(
            f"SELECT {', '.join(_FILE)} FROM files WHERE asset_id = ? ORDER BY role = 'copy', path",
            [asset.id],
            _FILE,
        )
        with explained(self._path):
            check_paths([row["path"] for row in rows])
            if not {row["role"] for row in rows} <= {*get_args(FileRole)}:
                raise DamagedError("a role in it is none")
        return tuple(AssetFile(**dict(row)) for row in rows)

    def known_files(self, folder: str | None = None) -> dict[str, KnownFile]:
        """Every catalogued file by its path, or those under `folder`."""
        if folder is None:
            return self._known_files("", [])
        return self._known_files("WHERE f.path >= ? AND f.path < ?", _bounds(folder))

    def known_at(self, paths: Iterable[str]) -> dict[str, KnownFile]:
        """Likewise, those that lie at one of these places."""
        return self._known_files("WHERE f.path IN (SELECT value FROM json_each(?))", [json.dumps([*paths])])

    def _known_files(self, where: str, values: Sequence[object]) -> dict[str, KnownFile]:
        query = (
            "SELECT f.path, f.asset_id, a.path, f.role, f.size, f.mtime_ns, f.sha256 "
            f"FROM files f JOIN assets a ON a.id = f.asset_id {where}"
        )
        rows = self._rows(query, values, _KNOWN_FILE)
        with explained(self._path):
            check_paths([path for row in rows for path in (row[0], row[2])])
        return {row[0]: KnownFile(*row[1:]) for row in rows}

    def strays(self, root: str) -> list[Asset]:
        """Assets of the store whose recorded paths do not begin with `root`: it lay elsewhere, or was called so."""
        start, end = _bounds(root)
        outside = "SELECT id FROM assets WHERE in_store AND path {}"  # each half is answered by an index
        query = f"{outside.format('< :start')} UNION ALL {outside.format('>= :end')}"
        return self.by_ids([row[0] for row in self._rows(query, {"start": start, "end": end})])

    def usage(self) -> list[tuple[str, str | None, int, int, int]]:
        """Kind, family, number of assets, their bytes, and of these those in the store; largest first."""
        query = (
            "SELECT kind, family, count(*), sum(size), sum(CASE WHEN in_store THEN size ELSE 0 END) FROM assets "
            "GROUP BY kind, family ORDER BY sum(size) DESC, kind, family"
        )
        return [tuple(row) for row in self._rows(query, [], _USAGE)]

    def copies(self) -> list[tuple[int, str, str, int]]:
        """Asset, path of its file, path of another file with the same bytes, and their size."""
        query = (
            "SELECT a.id, a.path, f.path AS copy, f.size AS size FROM files f JOIN assets a ON a.id = f.asset_id "
            "WHERE f.role = 'copy' AND a.format <> 'diffusers' "
            "UNION ALL SELECT min(a.id), a.path, b.path, b.size FROM assets a JOIN assets b ON b.sha256 = a.sha256 "
            "WHERE a.id < b.id AND b.format <> 'diffusers' GROUP BY b.id ORDER BY size DESC, copy"
        )
        rows = self._rows(query, [], _COPY)
        with explained(self._path):
            check_paths([path for row in rows for path in row[1:3]])
        return [tuple(row) for row in rows]

    def twins(self) -> dict[int, int]:
        """Assets in place whose bytes another has too, each with the oldest that has them.

        They were hashed late, or two commands ran at once.
        """
        query = (
            "SELECT id, (SELECT min(id) FROM assets WHERE sha256 = a.sha256) FROM assets a WHERE sha256 IS NOT NULL "
            "AND NOT in_store AND EXISTS (SELECT 1 FROM assets WHERE sha256 = a.sha256 AND id <> a.id)"
        )
        return dict(map(tuple, self._rows(query, [])))

    def generations_with(self, asset: Asset) -> int:
        """How many pictures used the asset."""
        query = "SELECT count(DISTINCT generation_id) FROM generation_assets WHERE asset_id = ?"
        return int(self._rows(query, [asset.id])[0][0])

    def _by_name(self, name: str) -> list[Asset]:
        stem = name.removesuffix(".safetensors")
        return self._assets(f"{ALL} WHERE name IN (?, ?) ORDER BY name <> ?", [name, stem, name])[:1]

    def _by_path(self, name: str) -> list[Asset]:
        return self._lying_at(name) if self._paths else []

    def _lying_at(self, name: str) -> list[Asset]:
        if not name or "\0" in name:
            return []
        path = os.path.expanduser(name)  # noqa: PTH111 - leaves an unknown user's home as it is
        places = {os.path.abspath(path), os.path.realpath(path)}  # noqa: PTH100 - the first keeps links
        marks = ",".join("?" * len(places))
        return self._assets(
            f"{ALL} WHERE path IN ({marks}) "
            f"OR id IN (SELECT asset_id FROM files WHERE path IN ({marks}) AND role = 'copy')",
            [*places, *places],
        )

    def _by_hash(self, name: str) -> list[Asset]:
        digits = name.lower().removeprefix("sha256:")
        if not _HASH.fullmatch(digits):
            return []
        end = digits + "g"  # just past every hash that begins with these digits
        return self._assets(
            f"{ALL} WHERE sha256 >= ?1 AND sha256 < ?2 OR id IN ("
            "SELECT asset_id FROM files WHERE role <> 'part' AND "
            "(autov3 >= ?1 AND autov3 < ?2 OR blake3 >= ?1 AND blake3 < ?2)) ORDER BY name",
            [digits, end],
        )

    def _by_file(self, name: str) -> list[Asset]:
        """The last folders and the name of a file; copies are known by their own names alone, too."""
        if len(_composed(name)) > 1:
            return self.named(name) or self._by_title(name)
        found = self._assets(
            f"{ALL} WHERE id IN (SELECT asset_id FROM files WHERE role = 'copy' AND "
            "(path LIKE ?1 ESCAPE '\\' OR path LIKE ?1 || '.safetensors' ESCAPE '\\')) ORDER BY name",
            ["%" + _like(os.sep + name)],
        )
        return found or self._by_title(name)

    def _by_title(self, name: str) -> list[Asset]:
        """A checkpoint as A1111 lists it, `dream.safetensors [0123456789]`: both have to be right."""
        title = TITLE.fullmatch(name)
        if title is None:
            return []
        numbers = {asset.id for asset in self.by_hash(title[2].lower())}
        return [asset for asset in self.named(title[1]) if asset.id in numbers]

    def _similar(self, name: str) -> str:
        elsewhere = self.named(name, shorter=True)[:_MOST_SHOWN] if len(model_path(name)) > 1 else []
        if elsewhere:
            there = ", ".join("/".join(model_path(without_suffix(asset.path))[-2:]) for asset in elsewhere)
            return f"Did you mean {there}? `assetctl list` shows all assets."
        names = [
            row[0]
            for order in (">= ? ORDER BY name", "< ? ORDER BY name DESC")  # those next to it in the alphabet
            for row in self._rows(
                f"SELECT name FROM assets WHERE name {order} LIMIT {_NEIGHBOURS}", [name], {"name": TEXT}
            )
        ]
        lowered = {known.lower(): known for known in names}
        close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
        if close:
            return f"Did you mean {', '.join(lowered[match] for match in close)}? `assetctl list` shows all assets."
        if not names:
            return "The catalog is empty: `assetctl pull REFERENCE` or `assetctl import FOLDER` fills it."
        return "`assetctl list` shows all assets, `assetctl search WORD` looks for one."

    def _identification(self, asset: Asset) -> Identification:
        query = f"SELECT {', '.join(_IDENTIFICATION)} FROM identifications WHERE asset_id = ?"
        rows = self._rows(query, [asset.id], _IDENTIFICATION)
        if not rows:
            return Identification()
        confidence, result, evidence = rows[0]
        with explained(self._path):
            if confidence not in get_args(Confidence):
                raise DamagedError("a confidence in it is none")
            found = fields(from_json(result, "an identification"), _RESULT, "an identification")
            found["trigger_words"] = words(found.get("trigger_words", []), "trigger words")
            reasons = [fields(one, _EVIDENCE, "evidence") for one in items(from_json(evidence, "evidence"), "evidence")]
            (alias,) = self._rows("SELECT alias FROM assets WHERE id = ?", [asset.id], {"alias": TEXT_OR_NONE})[0]
            found |= {"confidence": confidence, "alias": alias, "evidence": tuple(map(_evidence, reasons))}
            return Identification(**found)

    def set_by_hand(self, asset: Asset) -> frozenset[str]:
        """The fields of an asset that a person set."""
        rows = self._rows("SELECT field FROM overrides WHERE asset_id = ?", [asset.id], {"field": TEXT})
        return frozenset(row[0] for row in rows)

    def _overrides(self, asset: Asset) -> dict[str, object]:
        query = f"SELECT {', '.join(_OVERRIDE)} FROM overrides WHERE asset_id = ? ORDER BY field"
        rows = self._rows(query, [asset.id], _OVERRIDE)
        with explained(self._path):
            return {row[0]: set_by_hand(row[0], from_json(row[1], "what was set")) for row in rows}

    def origin(self, asset: Asset) -> Origin | None:
        """Where an asset came from, and what was said of it there."""
        query = f"SELECT {', '.join(_ORIGIN)} FROM origins WHERE asset_id = ?"
        rows = self._rows(query, [asset.id], _ORIGIN)
        return self._origin(rows[0]) if rows else None

    def origins(self, source: str | None = None) -> dict[int, Origin]:
        """Where all assets came from that came from somewhere, or from one source, by their numbers."""
        query = f"SELECT asset_id, {', '.join(_ORIGIN)} FROM origins WHERE ?1 IN (source, '')"
        rows = self._rows(query, [source or ""], {"asset_id": NUMBER, **_ORIGIN})
        return {row[0]: self._origin(row[1:]) for row in rows}

    def _origin(self, row: Sequence[Any]) -> Origin:
        source, reference, revision, url, fetched_at, facts = row
        with explained(self._path):
            said = None if facts is None else _facts(from_json(facts, "what a source says"))
        return Origin(source, reference, revision, url, fetched_at, said)


def _bounds(folder: str) -> tuple[str, str]:
    """What paths below a folder begin with, and the first text past all of those: an index finds what lies between."""
    start = folder.rstrip(os.sep) + os.sep
    return start, start[:-1] + chr(ord(os.sep) + 1)


def refuse_ambiguous(name: str, candidates: Sequence[Asset]) -> NoReturn:
    """Say what a name could mean.

    Raises:
        AmbiguousNameError: Always.
    """
    listing = ", ".join(f"{asset.name} ({(asset.sha256 or asset.path)[:10]})" for asset in candidates)
    raise AmbiguousNameError(
        f"{name!r} could be any of {len(candidates)} assets: {listing}.",
        how_to_tell_apart(candidates),
        [asset.name for asset in candidates],
    )


def how_to_tell_apart(assets: Sequence[Asset]) -> str:
    """A hint for a name that several assets go by: with which folders each would be meant."""
    paths = [_composed(asset.path) for asset in assets]
    most = max(map(len, paths))
    for length in range(2, most + 1):
        ends = [path[-length:] for path in paths]
        if len({_spelled(end, str.casefold, strip=True) for end in ends}) == len(ends):
            shown = ", ".join("/".join((*end[:-1], without_suffix(end[-1]))) for end in ends[:_MOST_SHOWN])
            return f"Write folders with it ({shown}), or use the full name or more digits of the hash."
    return "Use the full name, the path, or more digits of the hash."


def _composed(path: str) -> tuple[str, ...]:
    """`model_path`, in Unicode's composed form: some systems keep names in another."""
    return model_path(unicodedata.normalize("NFC", path))


def _alias(path: str) -> str | None:
    """What the metadata of a file call it that was registered before anybody asked; `None` if nobody can tell now."""
    from assetctl.files.safetensors import read_header  # noqa: PLC0415 - as above
    from assetctl.identify.metadata import alias  # noqa: PLC0415 - only names that nothing else has need it

    try:
        return alias(read_header(Path(path)).metadata)
    except FileError:
        return ""
    except AssetctlError:
        return None


def _may_be(path: tuple[str, ...], names: Container[str]) -> bool:
    """Whether the last part of a path is one of these, in any case, with or without what it ends in."""
    last = path[-1].casefold() if path else ""
    return last in names or without_suffix(last) in names


def _like(text: str) -> str:
    """A text as a part of a pattern of LIKE."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _is_absolute(name: str) -> bool:
    return name[:1] in ("/", "\\") or name[1:2] == ":"


def _spelled(path: tuple[str, ...], fold: Callable[[str], str], *, strip: bool) -> tuple[str, ...]:
    last = without_suffix(path[-1]) if strip else path[-1]
    return tuple(map(fold, (*path[:-1], last)))


def _before(
    path: tuple[str, ...], sought: tuple[str, ...], fold: Callable[[str], str], *, strip: bool
) -> tuple[str, ...] | None:
    """The folders before the end of a path, where that is what is sought."""
    at = len(path) - len(sought)
    if at < 0 or tuple(map(fold, path[at:-1])) != sought[:-1]:
        return None
    names = {without_suffix(path[-1])} if strip else {path[-1], without_suffix(path[-1])}
    return path[:at] if sought[-1] in map(fold, names) else None


def _outermost(found: dict[int, tuple[str, ...]]) -> Iterable[int]:
    """Of files that lie in libraries within one another, the one whose library holds all others' too."""
    outer = min(found.values(), key=len)
    holds_all = all(path[: len(outer)] == outer for path in found.values())
    return [number for number, path in found.items() if path == outer] if holds_all else found


def _facts(kept: object) -> Facts:
    said = fields(kept, _FACTS, "what a source says")
    return Facts(**said | {"trigger_words": words(said.get("trigger_words", []), "trigger words")})


def _evidence(reason: dict[str, str]) -> Evidence:
    return Evidence(*(reason.get(part, "") for part in _EVIDENCE))
