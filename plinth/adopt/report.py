"""What is found, for people."""

from collections.abc import Iterator

from plinth.adopt.adoption import Adoption
from plinth.adopt.env_file import ADVANCED, FLASK, HAND_MADE, PLINTH, SEVERAL
from plinth.adopt.origins import BY_HAND
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
    elif found.from_nothing and found.database and found.revisions:
        yield "Database, revisions and models agree."
    if found.left_alone:
        yield f"Made {BY_HAND}, known to no model, and left alone: {shown_names(found.left_alone)}."


def _of_blocking(found: Adoption) -> Iterator[str]:
    if found.blocking:
        yield f"A busy database would feel {len(found.blocking)} of {_number(found.revisions, 'revision')}:"
    for each in found.blocking:
        yield f"  {each.file}{' (applied)' if each.applied else ''}"
        yield from (f"    {line}" for line in each.findings)


def _number(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
