"""What the statements of a revision name, make and drop, as far as their texts tell."""

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property

from plinth.apply.renamed import TAKEN, renames_of
from plinth.sql_text import IDENTIFIER

_WORD = re.compile(r"[\w$]+")
_IN_QUOTES = re.compile(r"""['"]([\w$]+)(?=['"])""")
_ACTION = re.compile(r"\bon\s+(?:delete|update)\s+cascade\b", re.IGNORECASE)  # of a key: it drops nothing
# What it does to things that it doesn't name, or by names that it puts together, isn't seen.
_HIDES = re.compile(
    r"\A\s*(?:select|call)\b|\bexecute(?!\s+(?:function|procedure)\b)|\bperform\b", re.IGNORECASE
)
_REACHES = re.compile(r"\bcascade\b|\bdrop\s+owned\b", re.IGNORECASE)
_CREATES = re.compile(r"\bcreate\b[^;(]*?\btable\b", re.IGNORECASE)
# The words before the name of what is made.
_SCHEMA = r"schema\s+(?:if\s+not\s+exists\s+)?"
_TABLE = r"(?:\btable\s+(?:if\s+(?:not\s+)?exists\s+)?|\binto\s+|\brename\s+to\s+|\bpartition\s+)"
_COLUMN = (
    rf"(?:\badd\s+(?:column\s+)?(?:if\s+not\s+exists\s+)?|\brename\s+(?:column\s+)?{IDENTIFIER}\s+to\s+)"
)


class Said:
    """Statements.

    Args:
        statements: their texts, in the order in which they ran.
        default_schema: of names without one.
    """

    def __init__(self, statements: Iterable[str], default_schema: str) -> None:
        self._default = default_schema
        self._statements = [_WORD.sub(_cut, each) for each in dict.fromkeys(statements)]
        self._known: dict[str, set[int]] = {}  # words, and the statements that have them
        for place, each in enumerate(self._statements):
            for word in _words(each):
                self._known.setdefault(word, set()).add(place)
        self._parts: dict[frozenset[int], Said] = {}
        self.text = ";\n".join(self._statements)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._statements)

    @cached_property
    def _hiding(self) -> set[int]:
        return {place for place, each in enumerate(self._statements) if _HIDES.search(each)}

    @cached_property
    def reaches_what_it_does_not_name(self) -> bool:
        """Whether a statement may change what none names."""
        return bool(self._hiding) or _REACHES.search(_ACTION.sub("", self.text)) is not None

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
            _CREATES.search(self._statements[place]) for place in self._with(name)
        )

    def about(self, tables: Collection[str]) -> "Said":
        """Return those that name a table, by one of its names or what it was called in between, or may."""
        known = {*tables}
        for old, new in self._renames:
            known |= {old, new} if old in known or new in known else set()
        places = frozenset(self._hiding.union(*map(self._with, known)))
        if places not in self._parts:
            self._parts[places] = Said((self._statements[place] for place in sorted(places)), self._default)
        return self._parts[places]

    def drops(self, name: str) -> bool:
        """Whether one drops a table or column of that name, or may."""
        place = rf'(?:"?\w+"?\s*\.\s*)?"?{re.escape(name)}(?!\w)'
        drop = rf"\bdrop\s+(?:column\s+|table\s+)?(?:if\s+exists\s+)?{place}|\bdrop\b[^;]*\bcascade\b"
        return re.search(drop, _ACTION.sub("", self.text), re.IGNORECASE) is not None

    def schemas(self, known: Iterable[str]) -> Iterator[str]:
        """Yield the schemas that they name, of those that there are."""
        for name in known:
            place = re.escape(name.replace('"', '""'))
            if re.search(
                rf'(?<![\w$])"?{place}"?\s*\.|\bschema\b[^;]*?(?<![\w$]){place}(?![\w$])',
                self.text,
                re.IGNORECASE,
            ):
                yield name

    @cached_property
    def _renames(self) -> list[tuple[str, str]]:
        return [*renames_of(self._statements, self._default)]

    def _with(self, name: str) -> set[int]:
        """Return the statements that have a name in them."""
        found = self._known.get(name, set())
        is_word = _WORD.fullmatch(name) is not None
        if is_word and not name.endswith(TAKEN):
            return found
        part = name.removesuffix(TAKEN).replace('"', '""')
        return found | {place for place, each in enumerate(self._statements) if part in each}

    def _makes(self, words: str, name: str) -> bool:
        if name.endswith(TAKEN) and self.names(name):
            return True
        quoted = re.escape('"' + name.replace('"', '""') + '"')
        bare = rf"|(?i:{re.escape(name)})(?![\w$])" if name == name.lower() else ""
        made = rf"(?i:{words})(?:{IDENTIFIER}\s*\.\s*)?(?:{quoted}{bare})"
        return re.search(made, self.text) is not None or not self._hiding.isdisjoint(self._with(name))


def _words(text: str) -> Iterator[str]:
    yield from (each.lower() for each in _WORD.findall(text))
    yield from _IN_QUOTES.findall(text)


def _cut(match: re.Match[str]) -> str:
    """Return a name as PostgreSQL cuts it."""
    return match[0].encode()[:63].decode(errors="ignore")
