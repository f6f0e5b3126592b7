"""Triggers of the application's own on a table whose rows get values.

Filling a column updates each row, and that is none of the application's updates: triggers don't fire for it.
Where columns exchange their names they are made anew: what a session has planned for one goes by the columns'
old types.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from plinth.autogenerate.change.backfills import FILLS
from plinth.autogenerate.change.expressions import tokens
from plinth.autogenerate.change.heirs import ancestors
from plinth.autogenerate.change.order import in_order
from plinth.autogenerate.change.quoting import LONGEST_NAME
from plinth.autogenerate.change.way import Way
from plinth.catalog.picture import Catalog, Name, Other
from plinth.sql_text import lexed

_NOT_FILLING = f"current_setting('{FILLS}', true) IS DISTINCT FROM 'on'"
_ROWS = {"new", "old"}
_TRIGGER = "create [constraint] trigger <name>"


def own_triggers(catalog: Catalog, names: Collection[Name]) -> list[Other]:
    """Return the triggers on some tables."""
    return [each for each in catalog.others.values() if each.kind == "trigger" and each.table in names]


def with_heirs(name: Name, catalog: Catalog) -> set[Name]:
    """Return a table with its partitions and heirs, whose triggers fire for what its rows get, too."""
    return {name, *(each for each in catalog.tables if name in ancestors(each, catalog))}


def objections(catalog: Catalog, trigger: Other) -> Iterator[str]:
    """Yield why a trigger would notice a second column."""
    called = [
        catalog.others[key] for key in sorted(catalog.others) if catalog.others[key].node in trigger.needs
    ]
    functions = [each for each in called if each.kind == "function"]
    name = f"trigger {trigger.name}"
    if not functions or any(
        not re.search(r"^\s*LANGUAGE plpgsql\b", each.definition, re.MULTILINE) for each in functions
    ):
        yield f"what {name} does can't be read: its function isn't one in PL/pgSQL that revisions know"
    elif lexed(trigger.definition).has("referencing") or any(map(_uses_whole_rows, functions)):
        yield f"{name} uses whole rows, in which a second column would be seen"
    elif _is_before(trigger) and len(trigger.bare.encode()) > LONGEST_NAME - 2:
        yield f"no trigger could be called after {name}"


def _uses_whole_rows(function: Other) -> bool:
    """Whether a function uses NEW or OLD otherwise than for one of its columns, or as its result."""
    *_, body = (each for each in lexed(function.definition).listed if each.startswith("'"))
    words = lexed(body[1:]).listed
    for place, word in enumerate(words):
        follows = words[place + 1 : place + 3]
        is_column = follows[:1] == ["."] and follows[1:] != ["*"]
        is_result = words[place - 1] == "return" and follows[:1] == [";"]
        if word in _ROWS and not (is_column or is_result):
            return True
    return False


def _is_before(trigger: Other) -> bool:
    """Whether it can change rows before they are written."""
    text = lexed(trigger.definition)
    return text.begins(f"{_TRIGGER} before") is not None and text.has("for each row")


def fires_on_each_update(trigger: Other) -> bool:
    """Whether a trigger fires whatever column an UPDATE changes."""
    return lexed(trigger.definition).begins(f"{_TRIGGER} ... update {{or | on}}") is not None


def guarded(catalog: Catalog, names: Collection[Name]) -> Catalog:
    """Return a schema in which the triggers on some tables don't fire while columns are filled."""
    others = dict(catalog.others)
    for each in own_triggers(catalog, names):
        if fires_on_each_update(each):
            others[each.kind, each.name] = replace(each, definition=_guarded(each.definition))
    return replace(catalog, others=others)


def guard(way: Way, names: Collection[Name]) -> None:
    """Go on by triggers on some tables that don't fire while columns are filled."""
    for name in in_order(sorted(names), way.at):
        to = guarded(way.at, {name})
        if to.others != way.at.others:
            way.step(to, way.up(way.at, to))


def _guarded(definition: str) -> str:
    """Return a trigger that doesn't fire while columns are filled."""
    parts = tokens(definition)
    end = max(
        place for place, each in enumerate(parts) if parts[place : place + 3] == ["EXECUTE", " ", "FUNCTION"]
    )
    start = max(place for place, each in enumerate(parts[:end]) if parts[place : place + 2] == ["EACH", " "])
    own = "".join(parts[start + 3 : end]).strip().removeprefix("WHEN ")
    condition = f"({own} AND {_NOT_FILLING})" if own else f"({_NOT_FILLING})"
    return f"{''.join(parts[: start + 3])} WHEN {condition} {''.join(parts[end:])}"


def last_name(catalog: Catalog, table: Name, name: str) -> str:
    """Return a trigger's name by which it fires after those that may change a row."""
    others = [each.bare for each in own_triggers(catalog, {table}) if _is_before(each)]
    last = max(others, key=str.encode, default="")
    if name.encode() > last.encode():
        return name
    return f"{last}_{name}".encode()[:LONGEST_NAME].decode(errors="ignore")
