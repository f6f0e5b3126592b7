"""What a revision allows itself: a comment anywhere in its file, `# lint: allow <rule>: <reason>`."""

import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

_EXCEPTION = re.compile(r"#\s*lint:\s*allow\s+(?P<rule>[\w-]+)\s*(?::\s*(?P<reason>.*?))?\s*$")


@dataclass(frozen=True)
class Allowed:
    """An exception.

    Args:
        rule: from what.
        reason: "" when none is given.
    """

    rule: str
    reason: str


def exceptions_in(file: Path) -> list[Allowed]:
    """Return the exceptions that stand in a revision's file."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline))
    except (OSError, SyntaxError, tokenize.TokenError, UnicodeDecodeError):
        return []
    matches = (_EXCEPTION.match(token.string) for token in tokens if token.type == tokenize.COMMENT)
    return [Allowed(match["rule"], match["reason"] or "") for match in matches if match]
