"""docs/reference.md names what the code has, no less and no more."""

import argparse
import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.util.messaging import err

from plinth import settings, status
from plinth.__main__ import command_line
from plinth.adopt.adoption import Adoption
from plinth.autogenerate.compare import hints
from plinth.check import Report
from plinth.lint.linting import Lint
from plinth.plan.planning import Plan
from plinth.settings import Settings

ROOT = settings.root()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


def tables(heading: str) -> list[list[list[str]]]:
    """Return the tables below a heading, each as its rows without the header, each row as its cells."""
    [section] = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL
    )
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [[cells(line) for line in table.splitlines()[2:]] for table in found]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def named(heading: str, table: int = 0) -> list[str]:
    """Return the names in the first column of a table."""
    return [name for row in tables(heading)[table] for name in code(row[0])]


def same(documented: Iterable[str], found: Iterable[str]) -> None:
    """Require both to be the same names, and each to be documented once."""
    names = list(documented)
    assert sorted(names) == sorted(set(found))


def modules(*names: str) -> Iterator[ast.Module]:
    """Yield the syntax trees of files, and of all Python files in folders."""
    for name in names:
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield ast.parse(file.read_text())


def calls(tree: ast.AST, is_meant: Callable[[str], bool], place: int = 0) -> Iterator[ast.expr]:
    """Yield the argument at a place, of the calls of functions with such names (`a.b` for a method)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_meant(ast.unparse(node.func)) and len(node.args) > place:
            yield node.args[place]


def texts(node: ast.expr) -> set[str]:
    """Return the texts that an expression is, or chooses from."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def constants(tree: ast.Module) -> dict[str, str]:
    """Return a module's constants that are texts."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def test_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    same(
        (name.removeprefix("make ") for name in named("Make targets")),
        re.findall(r"^([a-z-]+):", makefile, re.MULTILINE),
    )


def test_variables_of_make() -> None:
    makefile = re.sub(r"## .*", "", (ROOT / "Makefile").read_text())
    own = set(re.findall(r"^(\w+) :=", makefile, re.MULTILINE))
    used = set(re.findall(r"\$[({](?:or \$\(|if \$\()?(?:value )?(\w+)", makefile))
    same(named("Make targets", 1), used - own - {"MAKE", "subst"})
    targets = {name for row in tables("Make targets")[1] for name in code(row[1])}
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_settings_and_their_variables_and_defaults() -> None:
    [rows] = tables("Settings")
    same((code(row[0])[0] for row in rows), (field.name for field in fields(Settings)))
    readers: dict[type, Callable[[str, str], object]] = {
        timedelta: settings.duration,
        bool: settings.yes_or_no,
        int: settings.major_version,
        str: lambda value, _: value,
        tuple: settings.names,
    }
    for setting, variable, default, _ in rows:
        [name] = code(setting)
        assert code(variable) == [f"PLINTH_{name.upper()}"]
        expected = getattr(Settings(), name)
        shown = "" if default == "none" else code(default)[0]
        assert readers[type(expected)](shown, name) == expected, name


def test_environment_variables() -> None:
    found: dict[str, bool] = {}  # whether it may stand in `.env`, too
    for tree in modules("plinth", "app", "alembic/env.py"):
        known = constants(tree)
        readers = {
            True: calls(tree, lambda name: re.search(r"(^|\.)(variable|_configured)$", name) is not None),
            False: calls(tree, lambda name: name in {"os.environ.get", "os.getenv"}),
        }
        for in_file, arguments in readers.items():
            for argument in arguments:
                name = known.get(ast.unparse(argument))
                found |= dict.fromkeys(texts(argument) | ({name} if name else set()), in_file)
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
                found |= dict.fromkeys(texts(node.slice), False)
    [rows] = tables("Environment variables")
    assert {code(row[0])[0]: row[1] == "yes" for row in rows} == found


def test_hints() -> None:
    found = [value for name, value in vars(hints).items() if name.isupper() and isinstance(value, str)]
    shown = [re.findall(r'info=\{"(\w+)"', name) for name in named("Hints")]
    same((name for names in shown for name in names), found)


def test_arguments_of_x() -> None:
    found: set[str] = set()
    for tree in modules("plinth", "alembic/env.py"):
        if "get_x_argument" in ast.unparse(tree):
            for argument in calls(tree, lambda name: name == "arguments.get"):
                found |= texts(argument)
        for argument in calls(tree, lambda name: name.rpartition(".")[2] == "said", 1):
            found |= texts(argument)
    same((name.removeprefix("-x ").partition("=")[0] for name in named("Arguments of -x")), found)


def test_words_in_a_revision() -> None:
    found: set[str] = set()
    for tree in modules("plinth/apply", "plinth/undo.py", "plinth/plan"):
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "getattr"
                and ast.unparse(node.args[0]).endswith("revision.module")
            ):
                found |= texts(node.args[1])
    shown = [name.partition(" = ")[0] for name in named("Words in a revision") if " = " in name]
    same(shown, found)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each subcommand."""
    [commands] = [each for each in command_line()._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(commands.choices)


def arguments_of(parser: argparse.ArgumentParser) -> set[str]:
    own = [each for each in parser._actions if not isinstance(each, argparse._HelpAction)]
    return {each.option_strings[0] if each.option_strings else each.dest for each in own}


def test_programs_and_their_arguments() -> None:
    [rows] = tables("Programs")
    same((code(row[0])[0] for row in rows), parsers())
    for command, arguments, keys in rows:
        parser = parsers()[code(command)[0]]
        assert set(code(arguments)) == arguments_of(parser), command
        assert bool(keys) == ("--json" in arguments_of(parser)), command


def answers() -> dict[str, set[str]]:
    """Return the keys of each program's JSON."""
    [main] = modules("plinth/__main__.py")
    functions = {each.name: each for each in main.body if isinstance(each, ast.FunctionDef)}
    found = {
        name: {str(ast.literal_eval(key)) for key in answer.keys if key}
        for name, function in functions.items()
        for answer in calls(function, lambda called: called == "answer", 1)
        if isinstance(answer, ast.Dict)
    }
    return found | {
        "status": set(status.Status("", None, (), (), ()).as_json()),
        "check": set(Report().as_json()),
        "plan": set(Plan("", (), {}).as_json()),
        "lint": set(Lint().as_json()),
        "adopt": set(Adoption().as_json()),
    }


def test_keys_of_json() -> None:
    [rows] = tables("Programs")
    assert {code(row[0])[0]: set(code(row[2])) for row in rows if row[2]} == answers()


def test_exit_codes() -> None:
    [main] = modules("plinth/__main__.py")
    returned = [node.value for node in ast.walk(main) if isinstance(node, ast.Return) and node.value]
    numbers = {node.value for each in returned for node in ast.walk(each) if isinstance(node, ast.Constant)}
    found = {number for number in numbers if isinstance(number, int) and not isinstance(number, bool)}
    found |= {status.IN_ORDER, status.PENDING, status.WRONG}
    with pytest.raises(SystemExit) as misunderstood:
        command_line().parse_args(["nonsense"])
    with pytest.raises(SystemExit) as alembics:
        err("so")
    for error in (misunderstood, alembics):
        assert isinstance(error.value.code, int)
        found.add(error.value.code % 256)
    same(named("Exit codes"), map(str, found))


def test_problems() -> None:
    [looked] = modules("plinth/status_reading.py")
    [checked] = modules("plinth/check.py")
    for table, arguments in enumerate(
        (
            calls(looked, lambda name: name == "Problem"),
            calls(checked, lambda name: name == "report.add"),
        )
    ):
        same(named("Problems", table), {text for argument in arguments for text in texts(argument)})


def test_refusals() -> None:
    found: set[str] = set()
    for tree in modules("plinth"):
        for kind in calls(tree, lambda name: name.rpartition(".")[2] in {"Refusal", "refuse"}):
            handed_on = ast.unparse(kind) == "kind"  # by `refuse`
            assert texts(kind) or handed_on, f"the kind of a refusal is a text: {ast.unparse(kind)}"
            found |= texts(kind)
    same(named("Refusals"), found)


def test_errors() -> None:
    found = [
        node.name
        for tree in modules("plinth")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    ]
    same(named("Errors"), found)


def test_fixtures() -> None:
    found = [
        node.name
        for tree in modules("plinth/testing")
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(re.match(r"pytest\.fixture\b", ast.unparse(each)) for each in node.decorator_list)
    ]
    same(named("Fixtures"), found)


def test_what_is_compared_is_all_that_the_page_has() -> None:
    headings = re.findall(r"^## (.*)", REFERENCE, re.MULTILINE)
    compared = Path(__file__).read_text()
    assert [heading for heading in headings if f'("{heading}"' not in compared] == ["Contracts"]
