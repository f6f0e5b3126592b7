"""Expressions as they are written into a file: as the models say them, else as PostgreSQL prints them."""

import re
from collections.abc import Mapping

from plinth.autogenerate.change.quoting import quoted
from plinth.catalog.picture import Column

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[^\W\d][\w$]*|\s+|.""", re.DOTALL)


def tokens(sql: str) -> list[str]:
    """Return SQL in its parts: strings, names, words, white space and signs."""
    return _TOKEN.findall(sql)


def named(sql: str) -> set[str]:
    """Return the names that SQL may mean by its words."""
    words = tokens(sql)
    return {word[1:-1].replace('""', '"') if word.startswith('"') else word.lower() for word in words}


def with_name(expression: str, column: str, by: str) -> str:
    """Return an expression that PostgreSQL printed, with something else in the place of a column.

    Args:
        expression: of one table, whose columns therefore stand bare.
        column: its name.
        by: SQL.
    """
    parts = tokens(expression)
    words = [token for token in parts if not token.isspace()]
    found, place = [], 0
    for token in parts:
        if token.isspace():
            found.append(token)
            continue
        before, after = words[place - 1] if place else "", words[place + 1 : place + 2]
        # What follows is a function; what stands before makes it a type, a part of a name, or a collation.
        is_other = after == ["("] or before in {":", ".", "COLLATE"}
        is_other |= words[max(place - 2, 0) : place] == ["EXTRACT", "("]  # a part of a date
        found.append(by if token == quoted(column) and not is_other else token)
        place += 1
    return "".join(found)


def with_type(expression: str, type_: str, by: str) -> str:
    """Return an expression that PostgreSQL printed, with another type in the place of one.

    Args:
        expression: it casts to the type, if it names it.
        type_: its name in SQL.
        by: the other one's.
    """
    parts, name = tokens(expression), tokens(type_)
    found: list[str] = []
    place = 0
    while place < len(parts):
        end = place + len(name)
        is_whole = parts[place:end] == name and parts[end : end + 1] != ["."]
        if is_whole and parts[max(place - 2, 0) : place] == [":", ":"]:
            found.append(by)
            place = end
        else:
            found.append(parts[place])
            place += 1
    return "".join(found)


def as_said(expression: str, words: Mapping[str, str]) -> str:
    """Return an expression in the models' words, where they say it.

    Args:
        expression: as PostgreSQL prints it.
        words: of what it belongs to.
    """
    return words.get(expression, expression)


def bare(expression: str, words: Mapping[str, str]) -> str:
    """Return an expression in the models' words, or as printed without parentheses around the whole of it."""
    if expression in words:
        return words[expression]
    if not (expression.startswith("(") and expression.endswith(")")):
        return expression
    depth = 0
    for each in tokens(expression)[:-1]:
        depth += (each == "(") - (each == ")")
        if depth == 0:
            return expression
    return expression[1:-1]


def default_sql(column: Column) -> str | None:
    """Return a column's default as SQL, if it has one."""
    return None if column.default is None else as_said(column.default, column.words)
