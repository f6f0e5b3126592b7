"""Names that go from an object of one kind to one of another: in one transaction, or not at all."""

from plinth.autogenerate.change.order import ROUTINES, names_taken
from plinth.autogenerate.change.refusals import refuse
from plinth.autogenerate.change.steps import Change
from plinth.catalog.picture import Catalog, ColumnName, Name, Node

_DEFINED = {"view", "materialized view", *ROUTINES}  # one takes the place of another at once, and no row goes
_PARTS = {"index", "constraint"}
_OTHER_NAME = "Give the new one another name"


def refuse_taken_names(change: Change, *, is_online: bool) -> None:
    """Return if each new object finds its name free when it is made.

    Raises:
        Refusal: something else has it, which stays or goes later, and refusals aren't collected.
    """
    before, after = names_taken(change.before), names_taken(change.after)
    for name in sorted(before.keys() & after.keys(), key=str):
        for old in before[name]:
            was = _shown(old, change.before)
            for new in after[name]:
                becomes = _shown(new, change.after)
                if becomes not in {was, *(_shown(each, change.before) for each in before[name])}:
                    words = f"{becomes[0].upper()}{becomes[1:]} takes the name of {was}"
                    _refuse(old, new, words, stays=old != new and old in after[name], is_online=is_online)


def _at_once(old: Node, new: Node) -> bool:
    return {old.kind, new.kind} <= _DEFINED or {old.kind, new.kind} <= _PARTS


def _refuse(old: Node, new: Node, words: str, *, stays: bool, is_online: bool) -> None:
    if old == new:  # an enum and a domain
        refuse("name", f"{words}, and PostgreSQL doesn't make one of the other. {_OTHER_NAME}.")
    elif stays and isinstance(old.name, str):
        refuse("name", f"{words}, which stays. {_OTHER_NAME}, or drop the old one:", f"drop={old.name}")
    elif stays:
        refuse("name", f"{words}, which stays. {_OTHER_NAME}, or drop the old one first.")
    elif is_online and not _at_once(old, new):
        refuse(
            "name",
            f"{words}, which goes after the code that may still use it. {_OTHER_NAME}, or let the old one go "
            "first, by both revisions for that. Or write a plain file, in which one takes the place of the "
            "other at once:",
            "online=no",
        )


def _shown(node: Node, catalog: Catalog) -> str:
    """Return an object as a message has it."""
    kind, name = node
    if kind == "type":
        kind = "enum" if name in catalog.enums else "domain"
    if isinstance(name, ColumnName):
        return f"{kind} {name.column} of {name.table}"
    return f"{kind} {name.name if isinstance(name, Name) and name.schema == catalog.default_schema else name}"
