"""Names as they stand in the text of statements."""

IDENTIFIER = r'(?:"(?:[^"]|"")+"|[\w$]+)'  # a pattern


def plain(identifier: str) -> str:
    """Return a name as the catalog has it: without its quotes, or in lower case where it has none."""
    if identifier.startswith('"'):
        return identifier[1:-1].replace('""', '"')
    return identifier.lower()
