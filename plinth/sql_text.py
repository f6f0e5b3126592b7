"""Pieces of the text of statements: names, and what stands between words."""

# What may stand between words; possessive, for else what comes next is looked for in each way to cut it up.
SPACE = r"(?>\s+|--[^\n]*\n|/\*.*?\*/)*+"
IDENTIFIER = r'(?:"(?:[^"]|"")+"|[\w$]+)'  # a pattern


def plain(identifier: str) -> str:
    """Return a name as the catalog has it: without its quotes, or in lower case where it has none."""
    if identifier.startswith('"'):
        return identifier[1:-1].replace('""', '"')
    return identifier.lower()
