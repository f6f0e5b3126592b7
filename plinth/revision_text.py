"""What a revision's file says, read without running it."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from plinth import checksum

_SAID = {"revision", "down_revision", "branch_labels", "depends_on", "__doc__"}
_CHANGE = re.compile(r"^Change: *(?P<change>\S+?)(, step \d+ of \d+)?[.,]? *$", re.MULTILINE)


class Unclear(ValueError):  # noqa: N818 - nobody is told
    """What running the file would say can't be told from its text."""


@dataclass(frozen=True)
class RevisionText:
    """A revision.

    Args:
        revision: its id.
        below: the revision on which it stands; None if it is the first.
        message: the first line of its docstring.
        change: the id of the change that it is a step of.
        checksum: of its file.
    """

    revision: str
    below: str | None
    message: str
    change: str | None
    checksum: str | None


def in_order(paths: Iterable[Path]) -> list[RevisionText]:
    """Return the revisions, oldest first.

    Args:
        paths: all revisions' files.

    Raises:
        Unclear: they don't stand in one row, or what a file says can't be told.
        OSError: a file can't be read.
    """
    on = {}
    count = 0
    for path in paths:
        read = _read(path.read_bytes())
        on[read.below] = read
        count += 1
    found: list[RevisionText] = []
    below = None
    while below in on:
        found.append(on.pop(below))
        below = found[-1].revision
    if len(found) < count:
        raise Unclear("the revisions don't stand in one row")
    return found


def change_in(text: str) -> str | None:
    """Return the id of the change that a revision is a step of, which its docstring says."""
    match = _CHANGE.search(text)
    return match["change"] if match else None


def _read(source: bytes) -> RevisionText:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise Unclear(str(error)) from error
    said: dict[str, str | None] = {}
    bound = 0
    for node in ast.walk(tree):
        # As a variable, by an import, a definition or a pattern.
        names = {getattr(node, each, None) for each in ("id", "name", "asname", "rest")}
        is_read = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        bound += not is_read and not _SAID.isdisjoint(names)
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        target = targets[0]
        if len(targets) == 1 and isinstance(target, ast.Name) and target.id in _SAID:
            word = value.value if isinstance(value, ast.Constant) else ...
            if word is not None and not isinstance(word, str):
                raise Unclear(f"{target.id} isn't a text")
            said[target.id] = word
    doc = (ast.get_docstring(tree, clean=False) or "").strip()
    # Some versions of Python take indentation away.
    is_plain = not any(line[:1].isspace() for line in doc.splitlines()[1:] if line.strip())
    alone = said.get("branch_labels") is None and said.get("depends_on") is None and "__doc__" not in said
    revision = said.get("revision")
    if bound != len(said) or not is_plain or not alone or revision is None or "down_revision" not in said:
        raise Unclear("the file says more")
    paragraph = doc.split("\n\n", maxsplit=1)[0]
    message = paragraph.splitlines()[0] if paragraph else ""
    return RevisionText(revision, said["down_revision"], message, change_in(doc), checksum.of(source))
