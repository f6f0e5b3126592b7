"""What is found, for people."""

from collections.abc import Iterator

from plinth.adopt.adoption import Adoption
from plinth.adopt.env_file import ADVANCED, FLASK, HAND_MADE, PLINTH, SEVERAL
from plinth.adopt.origins import ALL, BY_HAND, CHAIN, MODELS
from plinth.autogenerate.change.quoting import shown_names


def lines(found: Adoption) -> Iterator[str]:
    """Yield what is to be said, line by line."""
    yield from _of_env(found)
    yield ""
    yield from _of_revisions(found)
    yield from _of_differences(found)
    yield from _of_blocking(found)
    if found.notes:
        yield ""
        yield from found.notes
    yield ""
    yield "All is in order." if found.in_order else "Not all is in order."


def _of_env(found: Adoption) -> Iterator[str]:
    origins = {
        PLINTH: "calls plinth.env.run()",
        FLASK: "is Flask-Migrate's",
        ADVANCED: "is advanced-alchemy's",
        HAND_MADE: "is made by hand",
        SEVERAL: "comes from Alembic's template multidb",
    }
    origin = origins.get(found.template, f"comes from Alembic's template {found.template}")
    yield f"{found.env} {origin}."
    if found.by_hand:
        yield "It is left as it is, for this is to be changed by hand:"
        yield from (f"  {each}" for each in found.by_hand)
    elif found.change:
        yield from found.change.splitlines()
        yield (
            "Written."
            if found.env in found.written
            else "Nothing is written yet: plinth adopt --write does it."
        )
    elif found.level != "none":
        yield "It has what Plinth needs: there is nothing to change."


def _of_revisions(found: Adoption) -> Iterator[str]:
    number = _number(found.revisions, "revision")
    name = f"database {found.database!r}" if found.database else "no database"
    at = f" at {', '.join(found.heads)}" if found.heads else ""
    yield f"{number}, {name}{at}."
    if found.from_nothing is None:
        return
    if found.from_nothing:
        yield "They build a database from nothing." if found.revisions else "There is nothing to build."
    else:
        missing = f" No revision makes {shown_names(found.not_made)}." if found.not_made else ""
        yield f"They don't build a database from nothing.{missing}"
    if found.revisions:
        irreversible = len(found.irreversible)
        more = (
            f" ({irreversible} say{'s' * (irreversible == 1)} that it can't be undone)"
            if irreversible
            else ""
        )
        yield f"Up, down and up again, all put back that was there: {found.tried} of {found.revisions}{more}."
    yield from (each.message for each in found.problems)


def _of_differences(found: Adoption) -> Iterator[str]:
    if found.differences:
        yield f"Database, revisions and models differ in {_number(len(found.differences), 'respect')}:"
        for each in found.differences:
            yield f"  {each.message}"
        yield from _of_ways(found)
    elif found.from_nothing and found.database and found.revisions:
        is_compared = all(each.kind != "ahead" for each in found.problems)
        yield f"{'Database, revisions' if is_compared else 'Revisions'} and models agree."
    if found.left_alone:
        yield f"Made {BY_HAND}, known to no model, and left alone: {shown_names(found.left_alone)}."


def _of_ways(found: Adoption) -> Iterator[str]:
    """Yield what to do of each origin that a difference has."""
    origins = {each.origin for each in found.differences}
    by_revisions = "alembic -x compare=revisions revision --autogenerate"
    if BY_HAND in origins:
        yield "What the database alone has or lacks is kept by writing it into the models."
    if found.undoing:
        yield "Or it is undone, which nobody does but you:"
        yield from (f"  {line}" for line in found.undoing)
    if CHAIN in origins:
        yield (
            f"What the revisions alone lack or have gets one by: {by_revisions}. Each database that is so "
            "already is told by alembic stamp head; the others get it by alembic upgrade head."
        )
    if MODELS in origins:
        word = "alembic revision --autogenerate" if origins == {MODELS} else by_revisions
        yield f"What the models alone say is written by: {word}"
    if ALL in origins:
        yield f"Where all three differ, say in the models what is right: {by_revisions}"


def _of_blocking(found: Adoption) -> Iterator[str]:
    if found.blocking:
        yield f"A busy database would feel {len(found.blocking)} of {_number(found.revisions, 'revision')}:"
    for each in found.blocking:
        yield f"  {each.file}{' (applied)' if each.applied else ''}"
        yield from (f"    {line}" for line in each.findings)


def _number(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
