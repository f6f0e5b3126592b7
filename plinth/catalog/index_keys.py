"""The keys of an index, cut out of its definition, and its storage parameters in one order."""

import re

_OPTIONS = re.compile(r" WITH \((\w+='?[\w.]+'?(?:, \w+='?[\w.]+'?)+)\)")


def in_one_order(definition: str) -> str:
    """Return a definition with its storage parameters by the alphabet: PostgreSQL keeps them as they came."""
    return _OPTIONS.sub(
        lambda found: f" WITH ({', '.join(sorted(found[1].split(', ')))})", definition, count=1
    )


def index_keys(definition: str) -> tuple[str, ...]:
    """Return each key of an index as it stands in the definition that `pg_get_indexdef` prints.

    Its first open parenthesis outside of quotes begins the list of keys: names are quoted where needed.
    """
    keys: list[str] = []
    depth = 0
    quote = ""
    begin = 0
    for place, character in enumerate(definition):
        if quote:
            # A doubled quote ends and begins again: nothing is lost.
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
            if depth == 1:
                begin = place + 1
        elif character in ")]" or (character == "," and depth == 1):
            if depth == 1:
                keys.append(definition[begin:place].strip())
                begin = place + 1
            depth -= character in ")]"
            if depth == 0:
                break
    return tuple(keys)
