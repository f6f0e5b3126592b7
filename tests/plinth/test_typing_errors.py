"""Who mistypes something in a file of the project is told which file and line, in a sentence."""

import pytest

from tests.plinth.project import Project

COMMANDS = [
    ("alembic", "revision", "--autogenerate", "-m", "add users nickname"),
    ("plinth", "check"),
]
MODELS = {
    "a name": ("mapped_column(String(255))", "maped_column(String(255))", "NameError: name 'maped_column'"),
    "a type": ("email: Mapped[str | None]", "email: Mapped[strr | None]", "NameError: name 'strr'"),
    "a bracket": ("mapped_column(String(255))", "mapped_column(String(255)", "SyntaxError: '('"),
    "a module": ("from app.models.base", "from app.models.bse", "No module named 'app.models.bse'"),
    "what SQLAlchemy refuses": ("primary_key=True", "primary_key=True, primary=1", "TypeError: "),
}


ALL = [
    pytest.param(*each, id=name, marks=[pytest.mark.slow] * (name != "a name"))
    for name, each in MODELS.items()
]


@pytest.mark.parametrize(("old", "new", "said"), ALL)
def test_a_model(migrated: Project, old: str, new: str, said: str) -> None:
    file = migrated.root / "app" / "models" / "user.py"
    lines = file.read_text().splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines) if old in line)
    lines[number] = lines[number].replace(old, new, 1)
    file.write_text("".join(lines))
    for command in COMMANDS:
        done = migrated.run(*command)
        assert done.returncode != 0
        assert "Traceback" not in done.stdout + done.stderr
        assert "app/models/user.py, line " in done.stderr + done.stdout
        assert said in done.stderr + done.stdout


@pytest.mark.slow
def test_the_environment(migrated: Project) -> None:
    env = migrated.root / "alembic" / "env.py"
    env.write_text(f"import nobody\n{env.read_text()}")
    for command in ("status", "check", "plan", "lint", "upgrade", "reset"):
        done = migrated.run("plinth", command)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert (
            "alembic/env.py, line 1: ModuleNotFoundError: No module named 'nobody'. Correct it" in done.stderr
        )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('op.add_column("users", sa.Column("age", sa.Intger()))', "has no attribute 'Intger'"),
        pytest.param(
            'op.add_column("user", sa.Column("age", sa.Integer()))',
            'relation "user" does not exist',
            marks=pytest.mark.slow,
        ),
        pytest.param(
            'op.execute("alter table users add age nobody")',
            'type "nobody" does not exist',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_revision(migrated: Project, line: str, said: str) -> None:
    migrated.ok("alembic", "revision", "-m", "add users age")
    (file,) = (migrated.root / "alembic" / "versions").glob("*_add_users_age.py")
    file.write_text(file.read_text().replace("pass", line, 1))
    number = next(number for number, each in enumerate(file.read_text().splitlines(), 1) if line in each)
    for command in (("alembic", "upgrade", "head"), ("plinth", "upgrade"), ("plinth", "reset")):
        done = migrated.run(*command)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert f"is wrong (alembic/versions/{file.name}, line {number}): " in done.stderr + done.stdout
        assert said in done.stderr + done.stdout
        assert "It was rolled back" in done.stderr + done.stdout
    done = migrated.run("alembic", "--raiseerr", "upgrade", "head")
    assert "Traceback" in done.stderr
