"""What no picture of a schema shows, and whether a way back brings it: privileges, owners and the like.

What revisions say of it is found in their strings, docstrings and comments aside.
"""

import ast
import re
from collections.abc import Iterable, Sequence

from alembic.script import Script

from plinth import checksum
from plinth.apply.sources import helpers, strings, tree_of
from plinth.catalog import Difference
from plinth.scratch.revisions import sources_of
from plinth.sql_text import lexed, parts

# What a picture of a schema doesn't show comes by such words, or by kinds of objects that it doesn't show.
_BETWEEN = (
    r"or\s+replace|unique|temp|temporary|unlogged|materialized|if|not|exists|only|concurrently|constraint"
)
_SHOWN = (
    r"table|index|view|sequence|type|domain|schema|function|procedure|trigger|policy|rule|statistics|column"
    r"|constraint|default|not\s+null|identity|expression"
)
_SAYS_MORE = re.compile(
    r"grant|revoke|owner|privilege|security|comment\s+on|import\s+foreign|reassign"
    rf"|\b(?:create|alter|drop)\s+(?:(?:{_BETWEEN})\s+)*(?!(?:{_BETWEEN}|{_SHOWN})\b)[a-z]",
    re.IGNORECASE,
)
# The words by which something that stands takes another owner and the like; of all else its own kind is said.
_TAKES = {
    "privileges": "{grant | revoke | owned}",
    "owner": "{owner to | owned}",
    "default": "default privileges",
    "definition": "{create | alter | drop}",
}
_VALUE = "\N{SECTION SIGN}"  # what a string has in the place of a value; to PostgreSQL it is a letter
# What is said of an object; where its name is a value, or isn't said, of any.
_OF_OBJECTS = {"privileges", "owner", "comment", "security"}
_OF_ANY = (f"{{on | alter}} ... {_VALUE} ... {{to | from | is}}", "in schema", "owned")
_VALUES = re.compile(r"%(?:\(\w*\))?[sIL]|\{\w*\}")


def not_as_it_was(found: Iterable[Difference], revisions: Sequence[Script]) -> list[Difference]:
    """Return what downgrades left, or lost, of what no picture of a schema shows.

    A drop takes along what was granted on a table, and who owned it: no way back brings that. What is lost
    is so only where an upgrade says it: GRANT, REVOKE, OWNER TO and the like.

    Args:
        found: in what a database isn't as it was before them.
        revisions: those that were applied and undone.
    """
    is_any = any(sources_of([each]) is None for each in revisions)
    there = [text for each in revisions for text in _said(each)]
    back = [text for each in revisions for text in _said(each, but="upgrade")]

    def is_wrong(each: Difference) -> bool:
        is_left = not each.attribute and each.wanted is None
        if is_left and (is_any or each.kind not in _OF_OBJECTS):
            return True
        return _tells(there, each) or ((is_left or each.attribute != "") and _tells(back, each))

    return list(filter(is_wrong, found))


def changes_more(revision: Script) -> bool:
    """Whether a revision may make or take away what a picture doesn't show."""
    if _may_say_more(revision):
        return True
    calls = (node.attr for node in ast.walk(_tree(revision, "downgrade")) if isinstance(node, ast.Attribute))
    return any("drop" in each.lower() for each in [*_said(revision), *calls])


def _may_say_more(revision: Script) -> bool:
    texts = [*_said(revision), *_said(revision, but="upgrade")]
    return sources_of([revision]) is None or any(map(_SAYS_MORE.search, texts))


def _said(revision: Script, but: str = "downgrade") -> list[str]:
    """Return the strings in a revision, but for one function's, and in what it imports."""
    trees = [tree_of(text) for _, text in helpers(checksum.read(revision.path))]
    return [text for tree in [_tree(revision, but), *trees] for text in strings(tree)]


def _tree(revision: Script, but: str) -> ast.Module:
    """Return a revision's tree without one function, each f-string a string with marks for its values."""
    tree = ast.parse(checksum.read(revision.path) or b"")
    tree.body = [each for each in tree.body if not (isinstance(each, ast.FunctionDef) and each.name == but)]
    whole: ast.Module = _Whole().visit(tree)
    return whole


class _Whole(ast.NodeTransformer):
    """Makes one string of what an f-string has, with marks in the place of values."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Constant:
        pieces = (each.value if isinstance(each, ast.Constant) else _VALUE for each in node.values)
        return ast.Constant("".join(map(str, pieces)))


def _tells(texts: Iterable[str], difference: Difference) -> bool:
    """Whether texts say themselves that something becomes other than it was."""
    words = _TAKES.get(difference.kind, difference.kind)
    changes = [
        each for text in texts for each in lexed(_VALUES.sub(_VALUE, text)).executed if each.has(words)
    ]
    if difference.kind not in _OF_OBJECTS:
        return bool(changes)
    named = [each["name"] for each in lexed(difference.name.partition(" for ")[0]).find("<name>")]
    whole = parts(next((each for each in named if "." in each), named[-1]))
    name = whole[min(1, len(whole) - 1)]
    return any(
        each.names(name)
        or any(map(each.has, _OF_ANY))
        or (each.has("on") and not each.has("{to | from | is}"))  # a piece of a statement
        for each in changes
    )
