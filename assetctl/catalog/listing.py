"""Lists of assets, whole or cut short: what is asked first is which assets, and only then all about those.

A list that is cut short must not cost what the whole one would: the numbers of its assets come from
an index, and the view `asset_view`, with its lists of words and tags, is read for those alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import orjson

from assetctl.catalog.rows import ALL, IDENTIFIED, Asking, several
from assetctl.errors import UsageError
from assetctl.types import FORMATS, KINDS, Asset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: How many matches of a search are weighed against each other where the list is cut short.
WEIGHED = 1000

#: Kinds that are used with a checkpoint, and so fit it or do not.
FITTING = ("lora", "embedding", "vae", "controlnet")

#: Fields of which every value is known; formats may be unknown, which is "".
_CLOSED = {"kind": KINDS, "format": (*FORMATS, "")}

#: How well an asset fits a checkpoint, best first.
FITS = ("same base model", "same family", "same latents", "other lineage", "perhaps")

#: Orders of a list, and how SQL says each.
SORTS = {
    "name": "name",
    "size": "size DESC, name",
    "added": "added_at DESC, {table}.id DESC",
    "used": "(SELECT max(g.generation_id) FROM generation_assets g WHERE g.asset_id = {table}.id) DESC, name",
}

#: What an order goes by first, and what decides between equals.
_KEYS = {
    "size": ("size", "name >"),
    "added": ("added_at", "id <"),
    "used": (
        "coalesce((SELECT max(g.generation_id) FROM generation_assets g WHERE g.asset_id = assets.id), -1)",
        "name >",
    ),
}


class Question(NamedTuple):
    """Which assets: SQL that gives their numbers, best first, and its parameters."""

    sql: str
    values: dict[str, object]


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
        where, values = conditions(filters, tags=tags, in_store=in_store)
        if sort not in SORTS:
            raise UsageError(f"{sort!r} is not an order.", f"Choose one of: {', '.join(SORTS)}.")
        if after is not None:
            behind, more = self._behind(after, sort)
            where, values = f"{where} AND {behind}", values | more
        if limit is not None or after is not None:
            limit = -1 if limit is None else limit  # to SQLite, a negative limit is none
            order = SORTS[sort].format(table="assets")
            where = f"id IN (SELECT id FROM assets WHERE {where} ORDER BY {order} LIMIT :limit)"
        order = SORTS[sort].format(table="asset_view")
        query = f"{ALL} WHERE {where} ORDER BY {order}"
        return self._assets(query, values | {"limit": limit})

    def _behind(self, after: str, sort: str) -> tuple[str, dict[str, object]]:
        """What follows `WHERE` for those that come behind an asset in an order, and its parameters."""
        if sort == "name":
            return "name > :after", {"after": after}
        key, last = _KEYS[sort]
        column = last.partition(" ")[0]
        rows = self._rows(f"SELECT {key}, {column} FROM assets WHERE name = ?", [after])
        if not rows:
            raise UsageError(f"No asset is called {after!r:.60}, to go on after.", "Begin with the first page.")
        where = f"{key} <= :key AND ({key} < :key OR {last} :last)"  # whose first part is found by an index
        return where, {"key": rows[0][0], "last": rows[0][1]}

    def count(self, most: int, *, tags: Iterable[str] = (), in_store: bool | None = None, **filters: str | None) -> int:
        """How many assets `assets` would list; `most` where there are as many or more."""
        where, values = conditions(filters, tags=tags, in_store=in_store)
        return self._count(Question(f"SELECT id FROM assets WHERE {where}", values), most)

    def search(self, text: str, *, limit: int | None = None, **filters: str | None) -> list[Asset]:
        """Assets whose name, trigger words, tags or notes hold words that begin with those of `text`, best first.

        Names that begin with `text` come first. Where the list is cut short, and a word is so common that more
        than a thousand assets match, those with the words in their names come before the rest.

        Raises:
            UsageError: There is nothing to look for.
        """
        _see_limit(limit)
        matches = _matches(text, filters)
        if limit is None or self._count(matches, WEIGHED + 1) <= WEIGHED:
            best = "bm25(asset_search, 10, 5, 5, 1)"
            query = matches.sql.replace("SELECT s.rowid", f"SELECT s.rowid, a.name, {best} AS score")
            query += " ORDER BY substr(a.name, 1, length(:text)) <> :text COLLATE NOCASE, score, a.name LIMIT :limit"
            most = -1 if limit is None else limit  # to SQLite, a negative limit is none
            return self.by_ids(row[0] for row in self._rows(query, matches.values | {"limit": most}))
        return self.by_ids(self._common(matches, filters, limit))

    def count_matches(self, text: str, **filters: str | None) -> int:
        """How many assets `search` would find; one more than `WEIGHED` where there are more than that."""
        return self._count(_matches(text, filters), WEIGHED + 1)

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
        also = conditions(filters, tags=tags, in_store=in_store)
        fits: dict[int, str] = {}
        for question in (_fitting(checkpoint, sharing, also, strange), _perhaps_fitting(checkpoint, also)):
            if limit is None or len(fits) < limit:
                query = f"{question.sql} ORDER BY fit, name LIMIT :limit"
                left = -1 if limit is None else limit - len(fits)
                rows = self._rows(query, question.values | {"limit": left})
                fits |= {row["id"]: FITS[row["fit"]] for row in rows}
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
        also = conditions(filters, tags=tags, in_store=in_store)
        certain = self._count(_fitting(checkpoint, sharing, also), most)
        return certain + self._count(_perhaps_fitting(checkpoint, also), most - certain)

    def _common(self, matches: Question, filters: Mapping[str, str | None], limit: int) -> list[int]:
        """Matches of common words: weighing all of them would take as long as there are assets."""
        where, _ = conditions(filters)
        begin = f"SELECT id FROM assets WHERE name >= :text AND name < :end AND {where} ORDER BY name"
        end = {"end": str(matches.values["text"]) + "\U0010ffff"}  # just past every name that begins with the text
        in_name = {"query": f"name : ({matches.values['query']})"}
        found: dict[int, None] = {}
        for sql, values in ((begin, end), (matches.sql, in_name), (matches.sql, {})):
            if len(found) < limit:
                rows = self._rows(f"{sql} LIMIT :limit", matches.values | values | {"limit": limit})
                found.update(dict.fromkeys(row[0] for row in rows))
        return list(found)[:limit]

    def _count(self, question: Question, most: int) -> int:
        query = f"SELECT count(*) FROM ({question.sql} LIMIT :most)"
        return int(self._rows(query, question.values | {"most": most})[0][0])


def conditions(
    filters: Mapping[str, str | None], *, tags: Iterable[str] = (), in_store: bool | None = None
) -> tuple[str, dict[str, object]]:
    """What follows `WHERE`, over the columns of `assets`, and its parameters."""
    where, values = ["1"], dict[str, object]()
    for field, value in filters.items():
        if field not in IDENTIFIED:
            raise TypeError(f"no such filter: {field}")
        if not isinstance(value, str | None):
            raise UsageError(f"A {field} is a text, not {value!r:.40}.")
        known = _CLOSED.get(field, ())
        if known and value is not None and value.lower() not in known:
            raise UsageError(f"{value!r} is no {field}.", f"{field.title()}s are: {', '.join(filter(None, known))}.")
        if value == "":
            where.append(f"{field} IS NULL")
        elif value is not None:  # kinds are kept in lower case
            where.append(f"{field} = :{field}" if field == "kind" else f"{field} = :{field} COLLATE NOCASE")
            values[field] = value.lower() if field == "kind" else value
    for number, tag in enumerate(several("tags", tags)):
        if not tag.strip():
            raise UsageError("An empty tag is none.", "Leave it out, or name one that assets have.")
        where.append(f"id IN (SELECT asset_id FROM tags WHERE tag = :tag{number})")
        values[f"tag{number}"] = tag
    if in_store is not None:
        where.append("in_store = :in_store")
        values["in_store"] = in_store
    return " AND ".join(where), values


def _see_limit(limit: int | None) -> None:
    if limit is not None and not (type(limit) is int and 0 <= limit < 2**63):
        raise UsageError(f"{limit!r:.40} is no limit.", "Give a whole number, or `None` for all.")


def _matches(text: str, filters: Mapping[str, str | None]) -> Question:
    typed = re.findall(r"\w+", text)
    if not typed:
        raise UsageError(f"There is no word in {text!r} to search for.", "Try a part of a name or a trigger word.")
    where, values = conditions(filters)
    values |= {"query": " ".join(f'"{word}"*' for word in typed), "text": text.strip()}
    # words first, filters after: the planner would ask the index of words about every asset of a family
    source = "asset_search s CROSS JOIN assets a ON a.id = s.rowid"
    return Question(f"SELECT s.rowid FROM {source} WHERE asset_search MATCH :query AND {where}", values)


def _fitting(
    checkpoint: Asset, sharing: Sequence[str], also: tuple[str, dict[str, object]], strange: Sequence[str] = ()
) -> Question:
    """Assets of the checkpoint's family, and VAEs of families with the same latents."""
    where, values = also
    kinds = ", ".join(f"'{kind}'" for kind in FITTING)
    family = f"""
        SELECT id, name, CASE WHEN base_model = :lineage COLLATE NOCASE THEN 0
            WHEN kind IN ('lora', 'embedding') AND lower(base_model) IN (SELECT value FROM json_each(:strange)) THEN 3
            ELSE 1 END AS fit
        FROM assets WHERE family = :of COLLATE NOCASE AND kind IN ({kinds}) AND {where}"""
    twin = f"""
        SELECT id, name, 2 FROM assets
        WHERE family COLLATE NOCASE IN (SELECT value FROM json_each(:twins)) AND kind = 'vae' AND {where}"""
    twins = orjson.dumps(list(sharing)).decode()
    own = {"lineage": checkpoint.base_model, "of": checkpoint.family, "twins": twins}
    own |= {"strange": orjson.dumps(list(strange)).decode()}
    return Question(f"{family} UNION ALL {twin}", values | own)


def _perhaps_fitting(checkpoint: Asset, also: tuple[str, dict[str, object]]) -> Question:
    """VAEs whose files leave several families open: their evidence names each of those."""
    where, values = also
    query = f"""
        SELECT id, name, 4 AS fit FROM assets a WHERE family IS NULL AND kind = 'vae' AND {where} AND EXISTS
            (SELECT 1 FROM identifications WHERE asset_id = a.id AND instr(evidence, :claim))"""
    return Question(query, values | {"claim": f'"family={checkpoint.family}"'})
