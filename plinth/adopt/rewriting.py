"""What an `env.py` becomes: one line more (`write`), or one call (`apply`)."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from difflib import unified_diff

from plinth.adopt.env_file import PLINTH, SEVERAL, EnvFile, Obstacle, names_in, stock_comments

WIDTH = 88

# What linters and formatters are told of a line that goes.
_OF_TOOLS = re.compile(r"#\s*(noqa|type:|pylint:|pyright:|mypy:|ruff:|fmt:|isort:|pragma:|nosec)")
_IMPORT = "from plinth.env import run"
_URL = """url = make_url({}).render_as_string(hide_password=False)
context.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))"""


def rewritten(env: EnvFile, level: str) -> str:
    """Return the text of a file on a level; the same where nothing is to be done, or can't be.

    Args:
        env: the file.
        level: "write" or "apply".
    """
    if in_the_way(env, level) or is_done(env, level):
        return env.text
    return _with_run(env) if level == "apply" else _with_options(env)


def is_done(env: EnvFile, level: str) -> bool:
    """Whether a file has that level already."""
    return env.template == PLINTH or (level == "write" and env.is_named)


def in_the_way(env: EnvFile, level: str) -> list[Obstacle]:
    """Return what must be changed by hand before."""
    if is_done(env, level):
        return []
    if env.template == SEVERAL and level == "apply":
        return [
            Obstacle(
                1,
                "several databases are migrated at once, and run() does one: take --level write",
            )
        ]
    if not env.configured:
        return [Obstacle(1, "there is no context.configure(connection=…)")]
    if level == "apply":
        return env.obstacles
    return [
        Obstacle(call.lineno, 'it has autogenerate_plugins already: add "plinth" to them')
        for call in env.configured
        if any(each.arg == "autogenerate_plugins" for each in call.keywords)
    ]


def shown_difference(name: str, old: str, new: str) -> str:
    """Return a change as a unified diff; empty where there is none."""
    return "".join(
        unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}")
    )


def _with_options(env: EnvFile) -> str:
    """Return the text with `**plinth.options()` in each call that configures a connection."""
    text = env.text
    for call in sorted(env.configured, key=lambda each: each.lineno, reverse=True):
        given = [*call.args, *(each.value for each in call.keywords)]
        last = max(given, key=lambda each: (each.end_lineno or 0, each.end_col_offset or 0))
        at, end = (
            _offset(text, last.end_lineno, last.end_col_offset),
            _offset(text, call.end_lineno, call.end_col_offset),
        )
        # On a line of its own, where the one before has one.
        alone = re.match(r"(\s*)(?:\w+=|\*\*)$", text.splitlines()[last.lineno - 1][: last.col_offset])
        if alone and "\n" in text[at:end]:
            comma = re.match(r"\s*,", text[at:end])
            after = at + comma.end() if comma else at
            text = f"{text[:at]},\n{alone[1]}**plinth.options(){',' if comma else ''}{text[after:]}"
        else:
            text = f"{text[:at]}, **plinth.options(){text[at:]}"
    return text if _imports(env.tree, "plinth") else _with_import(text, "import plinth")


def _with_run(env: EnvFile) -> str:
    """Return the text with one call in the place of all that runs migrations."""
    dropped = set(map(id, env.dropped))
    kept = [each for each in env.tree.body if id(each) not in dropped and not _is_import(each)]
    new = [*env.hoisted, *([_URL.format(env.url)] if env.url else []), _call(env)]
    needed = names_in([*kept, *(ast.parse(each) for each in new)])
    config = [each for each in kept if ast.unparse(each) == "config = context.config"]
    if config and "config" not in names_in(
        [*(k for k in kept if k not in config), ast.parse("\n".join(new))]
    ):
        kept = [each for each in kept if each not in config]
        needed = names_in([*kept, *(ast.parse(each) for each in new)])
    before = names_in([*env.dropped, *config])
    lines: list[str | None] = list(env.text.splitlines())
    for statement in env.tree.body:
        if _is_import(statement):
            instead = _narrowed(statement, needed, before)
        elif statement in kept:
            continue
        else:
            instead = ""
        if instead is not None:
            first = min(
                [statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))]
            )
            lines[first - 1 : statement.end_lineno] = [
                instead or None,
                *([None] * ((statement.end_lineno or first) - first)),
            ]
    comments = stock_comments()
    left = [line for line in lines if line is not None and line.strip() not in comments]
    kept_comments = _comments_of_dropped(env, "\n".join(new))
    text = "\n".join([*left, "", *(f"{each}\n" for each in new[:-1]), *kept_comments, f"{new[-1]}\n"])
    imports = [_IMPORT]
    if env.url:
        imports.append("from sqlalchemy.engine import make_url")
        if not _imports(ast.parse(text), "context"):
            imports.append("from alembic import context")
    for each in imports:
        text = _with_import(text, each)
    return "\n".join(_spaced(text.splitlines())) + "\n"


def _comments_of_dropped(env: EnvFile, new: str) -> list[str]:
    """Return the project's own comments within what goes, in their order; those that `new` has are there."""
    ranges = [range(each.lineno, (each.end_lineno or each.lineno) + 1) for each in env.dropped]
    found = [
        each.string.strip()
        for each in tokenize.generate_tokens(io.StringIO(env.text).readline)
        if each.type == tokenize.COMMENT and any(each.start[0] in lines for lines in ranges)
    ]
    stock = stock_comments()
    return [each for each in found if each not in stock and each not in new and not _OF_TOOLS.match(each)]


def _call(env: EnvFile) -> str:
    metadata = re.sub(r"^(\w+)\(\)$", r"\1", env.metadata)  # called when it is needed
    line = f"run({', '.join([metadata, *env.options])})"
    if len(line) <= WIDTH and "\n" not in line:
        return line
    return "\n".join(["run(", *(f"    {each}," for each in (metadata, *env.options)), ")"])


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _imports(tree: ast.Module, name: str) -> bool:
    return any(
        (alias.asname or alias.name) == name
        for each in tree.body
        if isinstance(each, ast.Import | ast.ImportFrom)
        for alias in each.names
    )


def _narrowed(statement: ast.stmt, needed: set[str], before: set[str]) -> str | None:
    """Return an import without what only the dropped part used; None where it stays as it is."""
    assert isinstance(statement, ast.Import | ast.ImportFrom)  # noqa: S101 - the caller has asked

    def name(alias: ast.alias) -> str:
        return (alias.asname or alias.name).partition(".")[0]

    left = [each for each in statement.names if name(each) in needed or name(each) not in before]
    if len(left) == len(statement.names):
        return None
    if not left:
        return ""
    module = "." * statement.level + (statement.module or "") if isinstance(statement, ast.ImportFrom) else ""
    names = ", ".join(ast.unparse(each) for each in left)
    return f"from {module} import {names}" if module else f"import {names}"


def _with_import(text: str, line: str) -> str:
    """Return a text with one more import, behind the last one, or behind the docstring."""
    tree = ast.parse(text)
    places = [each.end_lineno or 0 for each in tree.body if _is_import(each)]
    if not places and ast.get_docstring(tree) is not None:
        places = [tree.body[0].end_lineno or 0]
    lines = text.splitlines()
    at = max(places, default=0)
    lines.insert(at, line)
    return "\n".join(lines) + "\n"


def _spaced(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines with one blank one between paragraphs, and two around functions and classes."""
    blank, last = False, ""
    for line in lines:
        if not line.strip():
            blank = True
            continue
        begins = re.match(r"(@|def |class |async def )", line) is not None and last[:1] not in {"@", "#"}
        ended = last[:1].isspace() and not line[:1].isspace() and blank and not re.match(r"[)\]}]", line)
        if last and (begins or ended):
            yield from ("", "")
        elif last and blank:
            yield ""
        yield line
        blank, last = False, line


def _offset(text: str, line: int | None, column: int | None) -> int:
    """Return where in a text a place is that is given as `ast` does, in bytes of a line."""
    lines = text.splitlines(keepends=True)
    before = sum(map(len, lines[: (line or 1) - 1]))
    return before + len(lines[(line or 1) - 1].encode()[: column or 0].decode())
