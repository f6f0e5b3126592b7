"""Expressions as they are written, where what PostgreSQL prints isn't printed alike when it is read again."""

import re

_STRING = r"'(?:[^']|'')*'"
_LIST = rf"{_STRING}::character varying(?:, {_STRING}::character varying)*"
_NAME = r'(?:"(?:[^"]|"")+"|[\w$.]+)'
# What PostgreSQL makes of `name IN ('a', 'b')` when the name is a varchar's: printed, and read again, the
# casts stand elsewhere.
_IN = re.compile(
    rf"\((?P<name>{_NAME})\)::text (?P<how>= ANY|<> ALL) \(\(ARRAY\[(?P<values>{_LIST})\]\)::text\[\]\)"
)


def as_written(expression: str) -> str:
    """Return an expression that PostgreSQL prints as the given one when it has read it."""

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
