"""Expressions as one writes them, where PostgreSQL prints more."""

import re

from plinth.autogenerate.quoting import quoted

_STRING = r"'(?:[^']|'')*'"
_VALUE = rf"\({_STRING}::character varying\)::text"
_NAME = r'(?:"(?:[^"]|"")+"|[\w$.]+)'
# What PostgreSQL makes of `name IN ('a', 'b')` when the name is a varchar's.
_IN = re.compile(
    rf"\((?P<name>{_NAME})\)::text (?P<how>= ANY|<> ALL) \(ARRAY\[(?P<values>{_VALUE}(?:, {_VALUE})+)\]\)"
)

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[^\W\d][\w$]*|\s+|.""", re.DOTALL)


def with_name(expression: str, column: str, by: str) -> str:
    """Return an expression that PostgreSQL printed, with something else in the place of a column.

    Args:
        expression: of one table, whose columns therefore stand bare.
        column: its name.
        by: SQL.
    """
    tokens = _TOKEN.findall(expression)
    words = [token for token in tokens if not token.isspace()]
    found, place = [], 0
    for token in tokens:
        if token.isspace():
            found.append(token)
            continue
        before, after = words[place - 1] if place else "", words[place + 1 : place + 2]
        # What follows is a function; what stands before makes it a type, a part of a name, or a collation.
        is_other = after == ["("] or before in {":", ".", "COLLATE"}
        found.append(by if token == quoted(column) and not is_other else token)
        place += 1
    return "".join(found)


def as_written(expression: str) -> str:
    """Return an expression that means the same, with lists of strings as one writes them."""

    def in_list(match: re.Match[str]) -> str:
        values = ", ".join(re.findall(rf"({_STRING})::character varying", match["values"]))
        word = "IN" if match["how"] == "= ANY" else "NOT IN"
        return f"{match['name']} {word} ({values})"

    return _IN.sub(in_list, expression)


def bare(expression: str) -> str:
    """Return an expression as it is written, without parentheses around the whole of it."""
    expression = as_written(expression)
    if not (expression.startswith("(") and expression.endswith(")")):
        return expression
    depth, quote = 0, ""
    for place, character in enumerate(expression):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0 and place < len(expression) - 1:
                return expression
    return expression[1:-1]
