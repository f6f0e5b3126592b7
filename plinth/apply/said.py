"""What the statements of a revision name, make and drop, as far as their texts tell."""

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import chain

from plinth.apply.drops import dropped
from plinth.apply.renamed import TAKEN, renames_of
from plinth.sql_text import Lexed, lexed, parts, plain

# The words before the name of what is made.
_SCHEMA = "schema [if not exists] <name>"
_TABLE = "{table [if [not] exists] | into | rename to | partition} <name>"
_COLUMN = "{add [column] [if not exists] | rename [column] <old> to} <name>"
_CREATES = "create [global | local] [temp | temporary | unlogged] [foreign] table"


class Said:
    """Statements.

    Args:
        statements: their texts, in the order in which they ran.
        default_schema: of names without one.
    """

    def __init__(self, statements: Iterable[str], default_schema: str) -> None:
        self._default = default_schema
        self._statements = [lexed(each) for each in dict.fromkeys(statements)]
        self._known: dict[str, set[int]] = {}  # words, and the statements that have them
        for place, each in enumerate(self._statements):
            for word in _words(each):
                self._known.setdefault(word, set()).add(place)
        self._parts: dict[frozenset[int], Said] = {}
        self._made: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._statements)

    @cached_property
    def _hiding(self) -> set[int]:
        return {place for place, each in enumerate(self._statements) if _hides(each)}

    @cached_property
    def _executed(self) -> list[Lexed]:
        return [each for statement in self._statements for each in statement.executed]

    @cached_property
    def reaches_what_it_does_not_name(self) -> bool:
        """Whether a statement may change what none names."""
        return bool(self._hiding) or any(_cascades(each) or each.has("drop owned") for each in self._executed)

    def names(self, name: str) -> bool:
        """Whether one of them has that name in it, whatever it is there."""
        return bool(self._with(name))

    def makes_schema(self, name: str) -> bool:
        """Whether one makes a schema of that name, or may."""
        return self._makes(_SCHEMA, name)

    def makes_table(self, name: str) -> bool:
        """Whether one makes a table of that name, or may."""
        return self._makes(_TABLE, name)

    def makes_column(self, name: str) -> bool:
        """Whether one makes a column of that name, or may."""
        return self._makes(_COLUMN, name) or any(
            each.begins(_CREATES) for place in self._with(name) for each in self._statements[place].executed
        )

    def about(self, tables: Collection[str]) -> "Said":
        """Return those that name a table, by one of its names or what it was called in between, or may."""
        known = {*tables}
        for old, new in self._renames:
            known |= {old, new} if old in known or new in known else set()
        places = frozenset(self._hiding.union(*map(self._with, known)))
        if places not in self._parts:
            texts = (self._statements[place].text for place in sorted(places))
            self._parts[places] = Said(texts, self._default)
        return self._parts[places]

    def drops(self, name: str) -> bool:
        """Whether one drops a table or column of that name, or may."""
        return name in self._dropped or any(_cascades(each) and each.has("drop") for each in self._executed)

    @cached_property
    def _dropped(self) -> set[str]:
        found = chain.from_iterable(dropped(each.text) for each in self._statements)
        return {parts(column or table)[-1] for table, column in found}

    def schemas(self, known: Iterable[str]) -> Iterator[str]:
        """Yield the schemas that they name, of those that there are."""
        found: set[str] = set()
        for each in chain.from_iterable(statement.nested for statement in self._statements):
            before = zip(each.listed, each.listed[1:], strict=False)
            found |= {plain(name) for name, then in before if then == "."}
            found |= {plain(name) for name in each.listed} if each.has("schema") else set()
        yield from (name for name in known if name in found)

    @cached_property
    def _renames(self) -> list[tuple[str, str]]:
        return [*renames_of((each.text for each in self._statements), self._default)]

    def _with(self, name: str) -> set[int]:
        """Return the statements that have a name in them."""
        found = self._known.get(name, set())
        if not name.endswith(TAKEN):
            return found
        places = (place for word, place in self._known.items() if word.startswith(name.removesuffix(TAKEN)))
        return found.union(*places)

    def _makes(self, form: str, name: str) -> bool:
        if name.endswith(TAKEN) and self.names(name):
            return True
        if form not in self._made:
            found = (each for statement in self._executed for each in statement.find(form))
            self._made[form] = {parts(each["name"])[-1] for each in found}
        return name in self._made[form] or not self._hiding.isdisjoint(self._with(name))


def _words(text: Lexed) -> Iterator[str]:
    for each in chain.from_iterable(part.listed for part in text.nested):
        yield each[1:] if each[0] == "'" else plain(each)


def _hides(text: Lexed) -> bool:
    """Whether what it does to things that it doesn't name, or whose names it puts together, isn't seen."""
    return any(each.begins("select | call | execute") for each in text.statements) or any(
        each.has("perform | call | execute") and not each.begins("create | alter | grant | revoke")
        for statement in text.statements
        for each in statement.executed[1:]
    )


def _cascades(statement: Lexed) -> bool:
    """Whether it says CASCADE, other than as the action of a key, which drops nothing."""
    said = sum(1 for _ in statement.find("cascade"))
    return said > sum(1 for _ in statement.find("on {delete | update} cascade"))
