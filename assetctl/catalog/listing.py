"""Lists of assets, whole or cut short: what is asked first is which assets, and only then all about those.

A list that is cut short must not cost what the whole one would: the numbers of its assets come from indexes, and the
view `asset_view`, with its lists of words and tags, is read for those alone. Assets that are alike in what is asked for
most stand on one shelf, in every order of a list; a page of several shelves takes the first of each in turn.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import orjson

from assetctl.catalog.rows import ALL, ASSET, IDENTIFIED, SHELVED, Asking, several
from assetctl.errors import UsageError
from assetctl.types import FORMATS, KINDS, Asset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: How many matches of a search are weighed against each other where the list is cut short.
WEIGHED = 1000

#: Kinds that are used with a checkpoint, and so fit it or do not.
FITTING = ("lora", "embedding", "vae", "controlnet")

#: Fields of which every value is known; formats may be unknown, which is "".
_CLOSED = {"kind": KINDS, "format": (*FORMATS, "")}

#: How well an asset fits a checkpoint, best first.
FITS = ("same base model", "same family", "same latents", "other lineage", "perhaps")

#: Orders of a list: the column that it goes by, what decides between equals, and what is then behind.
SORTS = {
    "name": ("name", "name", "name > :last"),
    "size": ("size DESC", "name", "name > :last"),
    "added": ("added_at DESC", "id DESC", "id < :last"),
    "used": ("used DESC", "name", "name > :last"),
}

#: Shelves that are merged, at most: SQLite takes no more. Assets of more are sorted.
_MOST_SHELVES = 450

#: Assets of a tag that are gathered and sorted; where more have it, each shelf is gone through until enough do.
_FEW = 2000


class Question(NamedTuple):
    """Which assets: SQL that gives their numbers, best first, and its parameters."""

    sql: str
    values: dict[str, object]


class _Which(NamedTuple):
    """Which assets a list is of: those of some shelves, or of all, as far as they fulfil conditions."""

    shelves: Sequence[bytes] | None
    where: list[str]
    values: dict[str, object]
    rare: str | None = None  # which tag's assets are gathered, since they are few

    def ordered(self, sort: str, behind: str = "1") -> Question:
        """SQL that gives numbers in an order, and its parameters; `limit` and `offset` are left to be said."""
        first, second, _ = SORTS[sort]
        order = f"ORDER BY {first}, {second} LIMIT :limit OFFSET :offset"
        columns = ", ".join(dict.fromkeys(("id", first.split()[0], second.split()[0])))
        if not self.shelves or self.rare is not None or len(self.shelves) > _MOST_SHELVES:
            question = self.unordered(columns, behind)
            return question._replace(sql=f"{question.sql} {order}")
        where = " AND ".join((behind, *self.where))
        numbers = range(len(self.shelves))
        arms = (f"SELECT {columns} FROM assets WHERE shelf = CAST(:shelf{n} AS TEXT) AND {where}" for n in numbers)
        values = {f"shelf{number}": self.shelves[number] for number in numbers}
        return Question(f"SELECT id FROM ({' UNION ALL '.join(arms)} {order})", self.values | values)

    def unordered(self, columns: str = "id", *more: str) -> Question:
        """Likewise, in no order."""
        source, where, values = "assets", [*more, *self.where], dict(self.values)
        if self.rare is not None:
            source = "tags CROSS JOIN assets ON id = asset_id"
            where.append(f"tag = :{self.rare}")
        if self.shelves is not None:
            where.append("shelf IN (SELECT value FROM json_each(:shelves))")
            values["shelves"] = orjson.dumps([each.decode("utf-8", "replace") for each in self.shelves]).decode()
        return Question(f"SELECT {columns} FROM {source} WHERE {' AND '.join(where or ['1'])}", values)


class Lists(Asking):
    """Questions that are answered by many assets."""

    def assets(
        self,
        *,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        limit: int | None = None,
        sort: str = "name",
        after: str | None = None,
        **filters: str | None,
    ) -> list[Asset]:
        """Assets, in the order of their names by default; a filter of `None` is no filter, others ignore case.

        Args:
            tags: All of these must be there.
            in_store: Only what assetctl owns, or only what lies elsewhere.
            limit: How many at most; `None` for all.
            sort: One of `SORTS`: the largest, latest added, or latest used in a picture first.
            after: The name of an asset: only those that come behind it, in that order, so that pages are whole
                whatever comes or goes meanwhile. It must be there, but where the order is that of names.
            **filters: `kind`, `family`, `base_model`, `variant`, `prediction`, `format`, `layout`; an empty one asks
                for what has none.
        """
        _see_limit(limit)
        if sort not in SORTS:
            raise UsageError(f"{sort!r} is not an order.", f"Choose one of: {', '.join(SORTS)}.")
        which = self._which(filters, tags=tags, in_store=in_store)
        if limit is None and after is None and sort in ASSET:  # all of them, each of which is read in any case
            question, (first, second, _) = which.unordered(), SORTS[sort]
            return self._assets(f"{ALL} WHERE id IN ({question.sql}) ORDER BY {first}, {second}", question.values)
        parts, values = (("1",), {}) if after is None else self._behind(after, sort)
        found: list[int] = []
        for part in parts:
            found += self._numbers(which.ordered(sort, part), limit and limit - len(found), values)
        return self.by_ids(found)

    def _behind(self, after: str, sort: str) -> tuple[Sequence[str], dict[str, object]]:
        """What holds for those that come behind an asset in an order, part by part, and its parameters."""
        first, second, rest = SORTS[sort]
        if sort == "name":
            return (rest,), {"last": after}
        column = first.split()[0]
        rows = self._rows(f"SELECT {column}, {second.split()[0]} FROM assets WHERE name = ?", [after])
        if not rows:
            raise UsageError(f"No asset is called {after!r:.60}, to go on after.", "Begin with the first page.")
        return (f"{column} = :key AND {rest}", f"{column} < :key"), {"key": rows[0][0], "last": rows[0][1]}

    def count(self, most: int, *, tags: Iterable[str] = (), in_store: bool | None = None, **filters: str | None) -> int:
        """How many assets `assets` would list; `most` where there are as many or more."""
        return self._count(self._which(filters, tags=tags, in_store=in_store).unordered(), most)

    def _which(
        self,
        filters: Mapping[str, str | None],
        *,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        shelved: bool = False,
    ) -> _Which:
        """Which assets fulfil all of this; of which shelves, if that was asked for or `shelved` says so."""
        conditions(filters)  # all of which make sense
        wanted = filters if in_store is None else {**filters, "in_store": str(int(in_store))}
        asked = {name: _plain(value) for name, value in wanted.items() if name in SHELVED and value is not None}
        shelves = [key for key in self._shelves() if asked.items() <= _shelf(key).items()] if asked or shelved else None
        where, values = conditions({name: value for name, value in filters.items() if name not in SHELVED})
        which = _Which(shelves, [where], values)
        return self._tagged(which, several("tags", tags)) if tags else which

    def _tagged(self, which: _Which, tags: Iterable[str]) -> _Which:
        """Likewise, with all of these tags."""
        names = {f"tag{number}": tag for number, tag in enumerate(tags)}
        for tag in names.values():
            if not tag.strip():
                raise UsageError("An empty tag is none.", "Leave it out, or name one that assets have.")
        asked = "SELECT 1 FROM tags WHERE tag = :tag"
        count, rare = min((self._count(Question(asked, {"tag": tag}), _FEW + 1), name) for name, tag in names.items())
        chosen = rare if count <= _FEW else None
        others = (name for name in names if name != chosen)
        where = [f"EXISTS (SELECT 1 FROM tags WHERE asset_id = assets.id AND tag = :{name})" for name in others]
        return _Which(which.shelves, which.where + where, which.values | names, chosen)

    def _shelves(self) -> list[bytes]:
        """All shelves that there are, each found behind the one before."""
        query = (
            "WITH RECURSIVE found (shelf) AS (SELECT min(shelf) FROM assets UNION ALL SELECT "
            "(SELECT min(shelf) FROM assets WHERE shelf > found.shelf) FROM found WHERE found.shelf IS NOT NULL) "
            "SELECT CAST(shelf AS BLOB) FROM found WHERE shelf IS NOT NULL"
        )
        return [row[0] for row in self._rows(query)]

    def _numbers(
        self, question: Question, limit: int | None, more: Mapping[str, object] = MappingProxyType({}), offset: int = 0
    ) -> list[int]:
        values = {**question.values, **more, "limit": -1 if limit is None else limit, "offset": offset}
        return [row[0] for row in self._rows(question.sql, values)]  # to SQLite, a negative limit is none

    def search(
        self,
        text: str,
        *,
        tags: Iterable[str] = (),
        limit: int | None = None,
        offset: int = 0,
        **filters: str | None,
    ) -> list[Asset]:
        """Assets whose name, trigger words, tags or notes hold words that begin with those of `text`, best first.

        All of the `tags` must be there. Names that begin with `text` come first. Where the list is cut short, and a
        word is so common that more than a thousand assets match, those with the words in their names come before the
        rest. The first ones are passed over, as many as `offset` says.

        Raises:
            UsageError: There is nothing to look for.
        """
        _see_limit(limit)
        tags = tuple(several("tags", tags))
        matches = _matches(text, filters, tags)
        if limit is None or self.count_matches(text, tags=tags, **filters) <= WEIGHED:
            best = "bm25(asset_search, 10, 5, 5, 1)"
            query = _matches(text, filters, tags, joined=True).sql.replace(
                "SELECT s.rowid", f"SELECT s.rowid, a.name, {best} AS score"
            )
            query += " ORDER BY substr(a.name, 1, length(:text)) <> :text COLLATE NOCASE, score, a.name"
            best_first = Question(f"{query} LIMIT :limit OFFSET :offset", matches.values)
            return self.by_ids(self._numbers(best_first, limit, offset=offset))
        return self.by_ids(self._common(matches, filters, tags, offset + limit)[offset:])

    def count_matches(self, text: str, *, tags: Iterable[str] = (), **filters: str | None) -> int:
        """How many assets `search` would find; one more than `WEIGHED` where there are more than that."""
        matches = _matches(text, filters, tuple(several("tags", tags)))
        count = self._count(matches._replace(values={**matches.values, "query": _as_typed(matches)}), WEIGHED + 1)
        return count if count > WEIGHED else self._count(matches, WEIGHED + 1)

    def fitting(
        self,
        checkpoint: Asset,
        *,
        sharing: Sequence[str] = (),
        strange: Sequence[str] = (),
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        limit: int | None = None,
        **filters: str | None,
    ) -> list[tuple[Asset, str]]:
        """What can be used with a checkpoint of a known family, best first, each with one of `FITS`.

        VAEs of the families that are `sharing` the latents of the checkpoint's are among it. LoRAs and embeddings for
        base models that are `strange` to it work in part.
        """
        _see_limit(limit)
        fits: dict[int, str] = {}
        there = self._which(filters, tags=tags, in_store=in_store, shelved=True)
        for fit, which in self._fitting(checkpoint, sharing, strange, there):
            fits |= dict.fromkeys(self._numbers(which.ordered("name"), limit and limit - len(fits)), fit)
        return [(asset, fits[asset.id]) for asset in self.by_ids(fits)]

    def count_fitting(
        self,
        checkpoint: Asset,
        most: int,
        *,
        sharing: Sequence[str] = (),
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        **filters: str | None,
    ) -> int:
        """How many assets `fitting` would list; `most` where there are as many or more."""
        found, there = 0, self._which(filters, tags=tags, in_store=in_store, shelved=True)
        for _, which in self._fitting(checkpoint, sharing, (), there):
            found += self._count(which.unordered(), most - found)
        return found

    @staticmethod
    def _fitting(
        checkpoint: Asset, sharing: Sequence[str], strange: Sequence[str], which: _Which
    ) -> Iterator[tuple[str, _Which]]:
        """Those that fit a checkpoint, among some that stand on shelves: how well, best first, and which.

        What is of no family, or of another by no certain sign, fits perhaps where its tensors, or a folder's
        configuration, allow the checkpoint's: evidence names each family that they do.
        """
        of, lineage = _plain(checkpoint.family or ""), _plain(checkpoint.base_model or "")
        twins, strangers = set(map(_plain, sharing)), set(map(_plain, strange))
        shelves: dict[str, list[bytes]] = {fit: [] for fit in FITS}
        for key in which.shelves or ():
            shelf = _shelf(key)
            kind, family, base_model = (shelf[name] for name in ("kind", "family", "base_model"))
            if family == of and kind.decode() in FITTING:
                strangely = kind in (b"lora", b"embedding") and base_model in strangers
                same = base_model == lineage != b""
                shelves[FITS[0] if same else FITS[3] if strangely else FITS[1]].append(key)
            elif kind == b"vae" and family in twins:
                shelves[FITS[2]].append(key)
            elif kind.decode() in FITTING and (kind != b"vae" or not family):
                shelves[FITS[4]].append(key)
        claim = (
            "EXISTS (SELECT 1 FROM identifications WHERE asset_id = assets.id AND confidence <> 'certain' "
            "AND (instr(evidence, :by_tensors) OR instr(evidence, :by_folder)))"
        )
        said = '"source":"{}","claim":"family={}"'.format
        claims = {f"by_{source}": said(source, checkpoint.family) for source in ("tensors", "folder")}
        values = {**which.values, **claims}
        for fit, keys in shelves.items():
            if keys:
                found = which._replace(shelves=keys)
                yield fit, found if fit != FITS[4] else found._replace(where=[*which.where, claim], values=values)

    def _common(
        self, matches: Question, filters: Mapping[str, str | None], tags: Sequence[str], limit: int
    ) -> list[int]:
        """Matches of common words: weighing all of them would take as long as there are assets."""
        begin = self._which(filters, tags=tags).ordered("name", "name >= :text AND name < :end")
        end = str(matches.values["text"]) + "\U0010ffff"  # just past every name that begins with the text
        matching = matches._replace(sql=f"{matches.sql} LIMIT :limit OFFSET :offset")
        words = (_as_typed(matches), matches.values["query"])
        questions = [(begin, {**matches.values, **begin.values, "end": end})]
        questions += [(matching, {"query": f"name : ({query})"}) for query in words]
        questions += [(matching, {"query": query}) for query in words]
        found: dict[int, None] = {}
        for question, more in questions:
            if len(found) < limit:
                found.update(dict.fromkeys(self._numbers(question, limit, more)))
        return list(found)[:limit]

    def _count(self, question: Question, most: int) -> int:
        query = f"SELECT count(*) FROM ({question.sql} LIMIT :most)"
        return int(self._rows(query, question.values | {"most": most})[0][0])


def conditions(filters: Mapping[str, str | None]) -> tuple[str, dict[str, object]]:
    """What follows `WHERE`, over the columns of `assets`, and its parameters."""
    where, values = ["1"], dict[str, object]()
    for field, value in filters.items():
        if field not in IDENTIFIED:
            raise TypeError(f"no such filter: {field}")
        if not isinstance(value, str | None):
            raise UsageError(f"A {field} is a text, not {value!r:.40}.")
        known = _CLOSED.get(field, ())
        if known and value is not None and value.lower() not in known:
            near = difflib.get_close_matches(value.lower()[:40], known, n=1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"{value!r} is no {field}.", f"{meant}{field.title()}s are: {', '.join(filter(None, known))}."
            )
        if value == "":
            where.append(f"{field} IS NULL")
        elif value is not None:  # kinds are kept in lower case
            where.append(f"{field} = :{field}" if field == "kind" else f"{field} = :{field} COLLATE NOCASE")
            values[field] = value.lower() if field == "kind" else value
    return " AND ".join(where), values


def _see_limit(limit: int | None) -> None:
    if limit is not None and not (type(limit) is int and 0 <= limit < 2**63):
        raise UsageError(f"{limit!r:.40} is no limit.", "Give a whole number, or `None` for all.")


def _matches(
    text: str, filters: Mapping[str, str | None], tags: Sequence[str] = (), *, joined: bool = False
) -> Question:
    typed = re.findall(r"\w+", text)
    if not typed:
        raise UsageError(f"There is no word in {text!r} to search for.", "Try a part of a name or a trigger word.")
    where, values = conditions(filters)
    values |= {"query": " ".join(f'"{word}"*' for word in typed), "text": text.strip()}
    source, matching = "asset_search s", "asset_search MATCH :query"
    if joined or any(value is not None for value in filters.values()):
        # words first, filters after: the planner would ask the index of words about every asset of a family
        source, matching = f"{source} CROSS JOIN assets a ON a.id = s.rowid", f"{matching} AND {where}"
    for number, tag in enumerate(tags):
        matching += f" AND EXISTS (SELECT 1 FROM tags WHERE asset_id = s.rowid AND tag = :tag{number})"
        values[f"tag{number}"] = tag
    return Question(f"SELECT s.rowid FROM {source} WHERE {matching}", values)


def _as_typed(matches: Question) -> str:
    """The words of a search, and none that only begin so: those come one by one, where SQLite gathers all of these."""
    return str(matches.values["query"]).replace("*", "")


def _plain(text: str) -> bytes:
    """A text as SQLite takes it where case is ignored: its `NOCASE` knows ASCII alone."""
    return text.encode("utf-8", "replace").lower()


@lru_cache(maxsize=1024)
def _shelf(key: bytes) -> dict[str, bytes]:
    """What all assets of a shelf have in common, in lower case."""
    return dict(zip(SHELVED, key.lower().split(b"\x1f", len(SHELVED) - 1), strict=True))
