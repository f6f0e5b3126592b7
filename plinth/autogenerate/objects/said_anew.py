"""What models said of an object that is made anew, and say no more.

As a revision is applied, what is made anew gets again what was said of it, whoever had said it
(`apply.left_columns`). So a revision names that of which something is to go.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from alembic.operations import ops

from plinth.autogenerate.change.parts import Piece
from plinth.autogenerate.change.quoting import literal, quoted
from plinth.autogenerate.change.steps import SqlOp, leaves
from plinth.autogenerate.change.way import Operations, Outside, Part
from plinth.catalog.picture import Catalog, Index, Other, Sequence
from plinth.sql_text import lexed

_SETTING = "plinth.said_anew"  # `apply.left_columns`

Said = set[tuple[str, object]]  # of what, and what: one that changes is said anew by the revision


def said(what: Piece | Other | Sequence) -> Said:
    """Return what is said of an object beside what it is."""
    found: Said = {("comment", what.comment)} if what.comment is not None else set()
    if isinstance(what, Other):
        found |= {(undo, statements) for statements, undo in what.details}
        return found | {("option", each) for each in _options(what.definition)}
    if isinstance(what, Index):
        found |= {("statistics", number) for number, _ in what.statistics}
    if isinstance(what, Sequence):
        return found
    return found | {("option", each.partition("=")[0]) for each in what.options}


def _options(definition: str) -> Iterator[str]:
    """Yield the names of a view's options."""
    if found := lexed(definition).begins("create [materialized] view <name> with ("):
        for each in found.rest.elements():
            yield each.listed[0]
            if ")" in each.listed:
                return


def loses(before: Said, after: Said) -> bool:
    """Whether something that was said isn't any more."""
    return not {of for of, _ in before} <= {of for of, _ in after}


def say(names: Iterable[str], *, outside: bool = False) -> Iterator[SqlOp]:
    """Yield what says it in a revision, if there are such names."""
    if listed := ", ".join(sorted({quoted(each) for each in names})):
        how = "SET" if outside else "SET LOCAL"
        note = "of these, nothing that the database had said goes over"
        yield SqlOp(f"{how} {_SETTING} = {literal(listed)}", note=note)


def with_words(parts: Iterable[Part], before: Catalog, after: Catalog) -> list[Part]:
    """Return parts of a way that name that of which something is to go, where they make it anew."""
    up, down = (_losing(*way) for way in ((before, after), (after, before)))
    return [replace(each, up=_saying(each.up, up), down=_saying(each.down, down)) for each in parts]


def _losing(before: Catalog, after: Catalog) -> set[str]:
    """Return the names of that of which something is said before, and not after."""
    found = {
        each.bare
        for key, each in before.others.items()
        if key in after.others and loses(said(each), said(after.others[key]))
    }
    for name, table in before.tables.items():
        if wanted := after.tables.get(name):
            new = {each.name: each for each in wanted.parts}
            found |= {
                each.name
                for each in table.parts
                if each.name in new and loses(said(each), said(new[each.name]))
            }
    return found


def _saying(operations: Operations, names: set[str]) -> Operations:
    made = [*leaves(operations)]
    touched = {name for name in names if any(_is_about(each, name) for each in made)}
    if not touched or any(isinstance(each, SqlOp) and _SETTING in each.sql for each in made):
        return operations
    if isinstance(operations, Outside):
        return Outside([*operations, *say(touched, outside=True)])
    return [*operations, *say(touched)]


def _is_about(op: ops.MigrateOperation, name: str) -> bool:
    """Whether an operation drops or makes what has a name."""
    if isinstance(op, SqlOp):
        text = lexed(op.sql)
        return any(text.begins(each) and text.names(name) for each in ("create", "drop", "alter table"))
    return name in {getattr(op, "index_name", None), getattr(op, "constraint_name", None)}
