"""A project of one's own: what `copier copy` makes of this repository, what `copier update` leaves alone."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from jinja2 import Environment, FunctionLoader

import install
from plinth import settings
from tests.plinth.documents import read
from tests.plinth.project import (
    GIT,
    TYPED,
    Project,
    clean_environment,
    copy_files,
    files_of_the_repository,
)

FIRST = "v0.1.0"
SECOND = "v0.2.0"
YOURS = ("app", "alembic/versions", "README.md", "docs/schema.md", "tests/test_models.py")


@dataclass(frozen=True)
class Repository:
    """A repository, made for a test.

    Args:
        root: its folder.
    """

    root: Path

    def git(self, *arguments: str) -> str:
        """Run git, which must succeed, and return what it printed."""
        return run(self.root, shutil.which("git") or "git", *arguments)

    def commit(self, message: str, tag: str | None = None) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        if tag:
            self.git("tag", tag)

    def write(self, file: str, content: str) -> None:
        """Write a file."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def read(self, file: str) -> str:
        """Return a file's content."""
        return (self.root / file).read_text()

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must stand in the file."""
        Project(self.root).replace(file, old, new)

    def files(self) -> set[str]:
        """Return all files that git knows or would add."""
        listed = self.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        return {name for name in listed.split("\0") if name and (self.root / name).exists()}


def run(folder: Path, *command: str) -> str:
    """Run a command, which must succeed, and return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment() | GIT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def copier(folder: Path, *arguments: str) -> str:
    """Run copier, which asks nothing and trusts nobody."""
    return run(folder, sys.executable, "-m", "copier", *arguments)


def make_template(folder: Path) -> Repository:
    """Return this repository as it stands here, tagged, in a folder that isn't there yet."""
    made = Repository(folder)
    made.root.mkdir(parents=True)
    copy_files(files_of_the_repository(), folder)
    made.git("init", "--quiet")
    made.commit("a version", FIRST)
    return made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The template of the tests that don't change it."""
    return make_template(tmp_path_factory.mktemp("template") / "plinth")


@pytest.fixture(scope="module")
def project(template: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A project with the names that come from its folder; the tests don't change it."""
    return new_project(template, tmp_path_factory.mktemp("project") / "My App")


def new_project(template: Repository, folder: Path, **answers: str) -> Repository:
    """Return a project made from the template, committed."""
    data = [argument for name, value in answers.items() for argument in ("--data", f"{name}={value}")]
    folder.parent.mkdir(exist_ok=True)
    copier(folder.parent, "copy", "--quiet", "--defaults", *data, str(template.root), str(folder))
    project = Repository(folder)
    project.git("init", "--quiet")
    project.commit("begin")
    return project


def pyproject(project: Repository) -> dict[str, Any]:
    parsed: dict[str, Any] = tomllib.loads(project.read("pyproject.toml"))
    return parsed


ALWAYS = {
    *(".copier-answers.yml", ".dockerignore", ".editorconfig", ".github/workflows/ci.yml", ".gitignore"),
    *(".pre-commit-config.yaml", "Dockerfile", "Makefile", "README.md", "alembic.ini", "install.py"),
    *("alembic/env.py", "alembic/script.py.mako", "docs/schema.md", "pyproject.toml"),
    *("app/__init__.py", "app/database.py", "app/naming.py", "app/settings.py"),
    *("app/models/__init__.py", "app/models/base.py"),
    *("requirements-dev.lock", "requirements.lock"),
    *("tests/__init__.py", "tests/conftest.py", "tests/test_migrations.py"),
}
SAMPLE = {
    *("app/models/authentication.py", "app/models/user.py", "app/seeds.py"),
    *("tests/test_models.py", "tests/test_seeds.py"),
}
EMPTY = {"alembic/versions/.gitkeep"}


def revisions(template: Repository) -> set[str]:
    return {file for file in template.files() if re.fullmatch(r"alembic/versions/.*\.py", file)}


def test_a_new_project_has_what_a_project_needs_and_no_more(
    template: Repository, project: Repository
) -> None:
    assert project.files() == ALWAYS | SAMPLE | revisions(template)


def test_what_is_a_file_in_the_template_is_the_same_there(template: Repository, project: Repository) -> None:
    for file in project.files():
        original = template.root / "template" / file
        if original.exists():  # mostly a link to the base's own
            assert project.read(file) == original.read_text()
    assert "<%" not in "".join(project.read(file) for file in project.files() if not file.endswith(".mako"))


@pytest.mark.slow
def test_its_name_its_database_and_its_python_are_what_was_answered(
    template: Repository, tmp_path: Path
) -> None:
    answers = {"name": "web-shop", "database": "shop_development", "python": "3.12"}
    project = new_project(template, tmp_path / "Shop", **answers)
    said = pyproject(project)
    assert (said["project"]["name"], said["project"]["requires-python"]) == ("web-shop", ">=3.12")
    assert said["tool"]["plinth"]["database"] == "shop_development"
    assert (said["tool"]["ruff"]["target-version"], said["tool"]["mypy"]["python_version"]) == (
        "py312",
        "3.12",
    )
    assert changed_lines(template, project, "Dockerfile") == [
        "FROM python:3.12 AS packages",
        "FROM python:3.12-slim",
    ]
    assert changed_lines(template, project, ".github/workflows/ci.yml") == ['        python: ["3.12"]']
    readme = project.read("README.md")
    assert readme.startswith("# web-shop\n")
    assert "shop_development" in readme
    assert "Python 3.12" in readme


def changed_lines(template: Repository, project: Repository, file: str) -> list[str]:
    """Return the lines of the project's file that the template's doesn't have."""
    before = template.read(file).splitlines()
    return [line for line in project.read(file).splitlines() if line not in before]


def test_names_come_from_the_folder(project: Repository) -> None:
    assert pyproject(project)["project"]["name"] == "my-app"
    assert pyproject(project)["tool"]["plinth"] == {
        "database": "my_app_development",
        "messages": True,
        "oldest_server": 18,
        "seeds": "app.seeds",
        "timestamps": True,
    }


def test_nothing_in_it_is_about_what_it_has_not_got(project: Repository) -> None:
    ours = r"benchmarks|golden|hypothesis|plinth/|test-slow|sybil|xdist|group app|-n auto|\bbench\b|jinja"
    for file in project.files() - {"README.md"}:
        assert not re.search(ours, project.read(file)), file


def test_the_base_comes_from_the_commit_that_the_project_is_made_of(
    template: Repository, project: Repository
) -> None:
    commit = template.git("rev-parse", FIRST).strip()
    needs = pyproject(project)["project"]["dependencies"]
    assert needs[0] == f"alembic-plinth @ git+file://{quote(str(template.root))}@{commit}"


@pytest.mark.slow
def test_what_is_not_committed_comes_along_and_the_base_from_the_last_commit(tmp_path: Path) -> None:
    template = make_template(tmp_path / "plinth")
    template.edit("app/seeds.py", "Grace", "Barbara")
    template.write("notes.txt", "to do")
    made = Repository(tmp_path / "my-app")
    copier(tmp_path, "copy", "--quiet", "--defaults", "--vcs-ref=HEAD", str(template.root), str(made.root))
    assert "Barbara" in made.read("app/seeds.py")
    last = template.git("rev-parse", "HEAD").strip()
    assert pyproject(made)["project"]["dependencies"][0].endswith(f"@{last}")


ADDRESSES = {
    "gh:acme/plinth": "git+https://github.com/acme/plinth.git@abc",
    "gl:acme/plinth.git": "git+https://gitlab.com/acme/plinth.git@abc",
    "git@example.com:acme/plinth.git": "git+ssh://git@example.com/acme/plinth.git@abc",
    "git+https://example.com/plinth": "git+https://example.com/plinth@abc",
    "ssh://git@example.com/plinth.git": "git+ssh://git@example.com/plinth.git@abc",
}


@pytest.mark.parametrize(("source", "address"), ADDRESSES.items())
def test_an_address_of_copiers_is_one_of_pips(source: str, address: str) -> None:
    own = settings.root()

    def load(name: str) -> str | None:
        return None if name.startswith(".git/") else (own / name).read_text()

    given = yaml.safe_load((own / "copier.yml").read_text())["_envops"]
    filters = ["jinja2_ansible_filters.AnsibleCoreFiltersExtension"]
    environment = Environment(loader=FunctionLoader(load), extensions=filters, **given)  # noqa: S701 - no HTML
    parts = environment.get_template("template/_parts/requirements.jinja")
    answered = {"_copier_answers": {"_src_path": source}, "_copier_conf": {"vcs_ref_hash": "abc"}}
    assert parts.make_module(answered).address == address  # type: ignore[attr-defined]


def locked(repository: Repository, file: str) -> dict[str, str]:
    """Return what a lock file says of each package, comments aside."""
    blocks = re.findall(r"(?m)^\S.*\n(?: .*\n)*", repository.read(file))
    return {re.split(r"\W*==", each)[0]: re.sub(r"(?m)^ +#.*\n", "", each) for each in blocks}


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-dev.lock"])
def test_what_is_locked_here_is_locked_there(template: Repository, project: Repository, file: str) -> None:
    theirs, ours = locked(project, file), locked(template, "requirements-dev.lock")
    assert {name: ours[name] for name in theirs} == theirs
    assert "://" not in project.read(file)
    assert {"alembic", "argon2-cffi", "cffi", "flit-core", "psycopg-binary", "sqlalchemy"} <= set(theirs)
    assert not {"copier", "greenlet", "pytest-asyncio"} & set(theirs)
    assert ("mypy" in theirs) == ("pytest" in theirs) == (file == "requirements-dev.lock")


@pytest.mark.slow
def test_what_copier_says_comes_next_can_be_typed(template: Repository, tmp_path: Path) -> None:
    made = tmp_path / "my own app"
    said = copier(tmp_path, "copy", "--defaults", str(template.root), str(made))
    [change_folder] = re.findall(r"^Next: (cd .*?), then git init and make db-reset\.$", said, re.MULTILINE)
    assert run(tmp_path, "sh", "-e", "-c", f"{change_folder}; pwd").strip() == str(made)


@pytest.mark.parametrize(("question", "answer"), [("name", 'a"b'), ("database", "a-b"), ("python", "3.8")])
def test_an_answer_that_would_not_work_is_refused(
    template: Repository, tmp_path: Path, question: str, answer: str
) -> None:
    with pytest.raises(AssertionError, match=rf"(?i){question}"):
        new_project(template, tmp_path / "my-app", **{question: answer})


def test_the_answers_hold_no_secret_and_nothing_asks_for_trust(
    template: Repository, project: Repository
) -> None:
    answers = yaml.safe_load(project.read(".copier-answers.yml"))
    assert set(answers) == {
        "_commit",
        "_src_path",
        "name",
        "database",
        "python",
        "postgresql",
        "async",
        "sample",
    }
    assert answers["_commit"] == FIRST
    asked = yaml.safe_load(template.read("copier.yml"))
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(asked)


@pytest.mark.slow
def test_a_folder_without_git_is_a_template_too(project: Repository, tmp_path: Path) -> None:
    expected = project.files()
    template = make_template(tmp_path / "plinth")
    shutil.rmtree(template.root / ".git")
    for name in (
        ".env",
        ".venv/bin/python",
        ".postgres/18-test.log",
        "app/__pycache__/a.pyc",
        ".mypy_cache/x",
    ):
        template.write(name, "no part of a template")
    made = tmp_path / "my-app"
    copier(tmp_path, "copy", "--quiet", "--defaults", str(template.root), str(made))
    assert {str(file.relative_to(made)) for file in made.rglob("*") if file.is_file()} == expected
    needs = pyproject(Repository(made))["project"]["dependencies"]
    assert needs[0] == f"alembic-plinth @ file://{quote(str(template.root))}"


def test_a_python_that_is_too_old_for_the_project_is_refused(tmp_path: Path) -> None:
    copied = Project(tmp_path)
    copy_files(["install.py", "pyproject.toml"], tmp_path)
    copied.replace("pyproject.toml", 'requires-python = ">=3.11"', 'requires-python = ">=3.19"')
    done = subprocess.run(
        [sys.executable, "-I", "install.py"],
        cwd=copied.root,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Python 3.19 or newer is needed" in done.stderr


def test_an_environment_that_others_use_is_not_emptied(tmp_path: Path) -> None:
    root, others = tmp_path / "worktree", tmp_path / "others"
    for folder in root, others:
        folder.mkdir()
    copy_files(["install.py", "pyproject.toml", "requirements-dev.lock"], root)
    (others / "kept").touch()
    (root / ".venv").symlink_to(others)
    command = [sys.executable, "-I", "install.py"]
    done = subprocess.run(command, cwd=root, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert (others / "kept").exists()
    assert done.returncode == 1
    assert str(others) in done.stderr


def test_the_newest_python_that_answers_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version, script in ("3.13", "exit 127"), ("3.12", 'test "$1" = -c || exit 7'):
        program = tmp_path / f"python{version}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.run_with_newer_python((3, 11)) == 7


@pytest.mark.slow
def test_packages_do_not_go_elsewhere(tmp_path: Path) -> None:
    copy_files(["install.py", "pyproject.toml", "requirements.lock"], tmp_path)
    elsewhere = {"PIP_TARGET": str(tmp_path / "elsewhere"), "PIP_DRY_RUN": "1", "PIP_USER": "1"}
    command = [sys.executable, "-I", "install.py", "requirements.lock"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | elsewhere, check=True)
    run(tmp_path, ".venv/bin/python", "-c", "import alembic")
    assert not (tmp_path / "elsewhere").exists()


def test_an_environment_without_packages_does_not_count_as_made(tmp_path: Path) -> None:
    copy_files(["install.py", "pyproject.toml", "requirements.lock"], tmp_path)
    installer = tmp_path / "uv"
    installer.write_text(f"#!/bin/sh\ntest $1 = pip || exec '{sys.executable}' -m venv --without-pip .venv\n")
    installer.chmod(0o755)
    command = [sys.executable, "-I", "install.py", "requirements.lock"]
    environment = {"PATH": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "pip config list" in done.stderr


@dataclass(frozen=True)
class Update:
    """A project whose user changed much, after an update to a version that changed much.

    Args:
        template: the newer version.
        project: the project.
    """

    template: Repository
    project: Repository


@pytest.fixture(scope="module")
def update(tmp_path_factory: pytest.TempPathFactory) -> Update:
    """An update that the tests look at."""
    folder = tmp_path_factory.mktemp("update")
    template = make_template(folder / "plinth")
    project = new_project(template, folder / "my-app")
    work_on(project)
    newer_version(template)
    copier(project.root, "update", "--quiet", "--defaults")
    return Update(template, project)


def work_on(project: Repository) -> None:
    """Change what a user changes."""
    email = "    email: Mapped[str | None]"
    project.edit("app/models/user.py", email, f"    nickname: Mapped[str | None]\n{email}")
    project.write("app/models/order.py", '"""Orders."""\n')
    (project.root / "app" / "seeds.py").unlink()
    project.write("alembic/versions/20260101000000_add_users_nickname.py", '"""add users nickname"""\n')
    (project.root / "alembic" / "versions" / "20151009155020_create_authentication.py").unlink()
    project.edit("README.md", "# my-app", "# The shop")
    project.edit("docs/schema.md", "erDiagram", "erDiagram\n  orders")
    project.edit("tests/test_models.py", "Ada", "Augusta")
    project.edit("pyproject.toml", '    "argon2-cffi', '    "anyio>=4",\n    "argon2-cffi')
    project.edit("Makefile", "##@ Checking", "##@ Mine\n\nrun: install\n\t@$(PY) -m app\n\n##@ Checking")
    project.commit("work")


def newer_version(template: Repository) -> None:
    """Change in the template what the user changed, and more."""
    email = "    email: Mapped[str | None]"
    template.edit("app/models/user.py", email, f"    phone: Mapped[str | None]\n{email}")
    template.edit("app/database.py", "pool_pre_ping=True", "pool_pre_ping=False")
    template.edit("app/seeds.py", "Grace", "Barbara")
    template.write("app/models/product.py", '"""Products."""\n')
    template.write("alembic/versions/20260202000000_create_products.py", '"""create products"""\n')
    template.edit("alembic/versions/20151009115505_create_users.py", '"""create users', '"""create the users')
    template.edit("alembic/versions/20151009155020_create_authentication.py", '"""create', '"""create the')
    template.edit("template/README.md.jinja", "A service on PostgreSQL.", "A service on a database.")
    template.edit("docs/schema.md", "erDiagram", "erDiagram\n  products")
    template.edit("tests/test_models.py", "Ada", "Edgar")
    template.edit(
        "template/pyproject.toml.jinja", "strict = true", "strict = true\nlocal_partial_types = true"
    )
    template.edit("Makefile", "db-diagram: install ## draw", "db-diagram: install ## paint")
    template.edit("install.py", '"""Make', '"""Prepare')
    template.edit("alembic/env.py", "run(metadata, ", "run(metadata, include_schemas=True, ")
    template.commit("a newer version", SECOND)


@pytest.mark.slow
def test_an_update_leaves_alone_what_is_yours(update: Update) -> None:
    assert update.project.git("status", "--porcelain", "--", *YOURS) == ""


@pytest.mark.slow
def test_an_update_brings_a_newer_base_and_scaffold(update: Update) -> None:
    template, updated = update.template, update.project
    assert "include_schemas=True" in updated.read("alembic/env.py")
    assert updated.read("install.py") == template.read("install.py")
    assert template.git("rev-parse", SECOND).strip() in pyproject(updated)["project"]["dependencies"][0]
    assert yaml.safe_load(updated.read(".copier-answers.yml"))["_commit"] == SECOND


@pytest.mark.slow
def test_an_update_merges_what_both_changed(update: Update) -> None:
    updated = update.project
    makefile = updated.read("Makefile")
    assert "run: install" in makefile
    assert "## paint" in makefile
    assert '"anyio>=4"' in updated.read("pyproject.toml")
    assert "local_partial_types" in updated.read("pyproject.toml")
    assert 'name = "my-app"' in updated.read("pyproject.toml")
    assert not [file for file in updated.files() if file.endswith((".rej", ".orig"))]
    assert not [file for file in updated.files() if re.search(r"^<{7} ", updated.read(file), re.MULTILINE)]


@pytest.fixture
def open_template(template: Repository, open_folder: Path) -> Iterator[Repository]:
    """A project in a folder that the account of a local server can reach; its server is stopped."""
    project = new_project(template, open_folder / "my app")
    yield project
    run(project.root, "make", "db-stop")


@pytest.mark.slow
def test_the_first_commands_of_a_new_project_pass(open_template: Repository) -> None:
    project = open_template
    assert read(Project(project.root), "README.md").summary("its README") == "its README: 3 blocks run, 0 not"
    assert_green(project)
    at = run(project.root, ".venv/bin/python", "-c", "import plinth; print(plinth.__file__)")
    assert at.startswith(str(project.root / ".venv"))


def assert_green(project: Repository) -> None:
    """Fail unless `make check` finds nothing and changes nothing."""
    output = run(project.root, "make", "check")
    assert " passed" in output
    assert not re.search(r"\d+ (failed|error|warning)|Warning", output), output
    assert project.git("status", "--porcelain") == ""


VARIANTS = [("yes", "yes"), ("no", "no"), ("no", "yes")]  # the other one: the test before


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "asynchronous"), VARIANTS)
def test_each_variant_begins_green(
    template: Repository, open_folder: Path, sample: str, asynchronous: str
) -> None:
    answers = {"sample": sample, "async": asynchronous}
    project = new_project(template, open_folder / "my app", **answers)
    expected = SAMPLE | revisions(template) if sample == "yes" else EMPTY
    assert project.files() == ALWAYS | expected
    try:
        assert "is new" in run(project.root, "make", "db-reset")
        assert_green(project)
    finally:
        run(project.root, "make", "db-stop")


@pytest.mark.slow
def test_a_newer_base_is_its_commit_in_pyproject(tmp_path: Path) -> None:
    template = make_template(tmp_path / "the plinth")
    project = new_project(template, tmp_path / "my-app")
    program = (".venv/bin/python", "-c", "import plinth; print(plinth.__version__)")
    run(project.root, sys.executable, "install.py", "requirements.lock")
    older = run(project.root, *program)
    template.edit("plinth/__init__.py", f'"{older.strip()}"', '"99.0"')
    template.commit("a newer version")
    before, after = (template.git("rev-parse", ref).strip() for ref in (FIRST, "HEAD"))
    project.edit("pyproject.toml", before, after)
    run(project.root, sys.executable, "install.py", "requirements.lock")
    assert run(project.root, *program) == "99.0\n"
    project.edit("pyproject.toml", after, "0" * 40)
    with pytest.raises(AssertionError, match="find that commit there"):
        run(project.root, sys.executable, "install.py", "requirements.lock")


# After each chapter; the output is shown when it fails.
CHECK = (
    "<!-- sh\nmake -s check > .git/check.log 2>&1 || { echo AFTER %s; cat .git/check.log; exit 1; }\n-->\n\n"
)


def checked_after_each_chapter(text: str, chapters: str = "## ") -> str:
    """Return a document with `make check` at the end of each of its chapters."""
    parts = re.split(rf"(?m)^(?={re.escape(chapters)})", text)
    titles = [part.partition("\n")[0].strip("# ") for part in parts]
    return "".join(f"{part}{CHECK % shlex.quote(title)}" for part, title in zip(parts, titles, strict=True))


def reading(project: Repository) -> Project:
    """Return a project whose reader has installed it, with its programs on the path."""
    run(project.root, "make", "install")
    programs = project.root / ".venv" / "bin"
    return Project(
        project.root,
        {**GIT, **TYPED, "PSQLRC": "/dev/null", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
    )


@pytest.mark.slow
def test_after_the_first_example_of_the_readme_check_is_green(
    template: Repository, open_template: Repository
) -> None:
    text = template.read("README.md")
    example = text[text.index("## From a model") : text.index("## What is different here")]
    document = f"## Begin\n\n```sh\nmake db-reset\n```\n\n{example}"
    open_template.write("docs/first.md", checked_after_each_chapter(document))
    read(reading(open_template), "docs/first.md")


@pytest.mark.slow
def test_check_is_green_after_each_chapter_of_the_guide(
    template: Repository, open_template: Repository
) -> None:
    project = reading(open_template)
    text = template.read("docs/migrations.md").replace("app_development", "my_app_development")
    open_template.write("docs/migrations.md", checked_after_each_chapter(text))
    done = read(project, "docs/migrations.md")
    assert "0 not" in done.summary("the guide")
