"""Projects of the shapes that Alembic's and others' templates give them, on the way with plain Alembic.

Their models grow in stages: a line that ends in `# 3` comes with the third one.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from sqlalchemy.engine import URL

from tests.plinth.conftest import own_home
from tests.plinth.environments import Environment
from tests.plinth.project import clean_environment

MODELS = """
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(100), index=True)  # 2
    nick: Mapped[str] = mapped_column(String(50), index=True, info={"backfill": "name"})  # 4


class Order(Base):  # 3
    __tablename__ = "orders"  # 3

    id: Mapped[int] = mapped_column(primary_key=True)  # 3
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)  # 3
"""
METADATA = "from {module} import Base\n\ntarget_metadata = Base.metadata"


@dataclass
class Site:
    """A project in a folder, with an environment.

    Args:
        root: its folder.
        environment: where its programs are.
        urls: its databases.
        program: what runs Alembic's commands: `python -m …`.
        commands: what its tool calls some of them.
        versions: the folder of its revisions.
        models: its models' file.
        source: the text of that, with the stages.
        env: its env.py.
        plinth: options of Plinth's own program.
        variables: of its commands.
    """

    root: Path
    environment: Environment
    urls: tuple[URL, ...]
    program: tuple[str, ...] = ("alembic",)
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    versions: str = "migrations/versions"
    models: str = "models.py"
    source: str = MODELS
    env: str = "migrations/env.py"
    plinth: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def python(self, *arguments: str, code: int = 0) -> str:
        """Run Python in it, which must end with an exit code, and return all that it printed."""
        done = subprocess.run(
            [self.environment.python, *arguments],
            cwd=self.root,
            env={
                **clean_environment(),
                "APP_ENV": "development",
                "PLINTH_HOME": own_home(),
                **self.variables,
            },
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == code, f"{' '.join(arguments)}\n{output}"
        return output

    def ok(self, command: str, *arguments: str) -> str:
        """Run one of Alembic's commands by the tool that the project has for it."""
        given = self.commands.get(command, tuple(command.split()))
        return self.python("-m", *self.program, *given, *arguments)

    def own(self, *arguments: str, code: int = 0) -> str:
        """Run Plinth's program."""
        return self.python("-m", "plinth", *self.plinth, *arguments, code=code)

    def write(self, file: str, text: str) -> None:
        """Write a file."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must stand in a file."""
        path = self.root / file
        assert old in path.read_text(), path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def stage(self, number: int) -> None:
        """Let the models grow to a stage."""
        kept = [
            line
            for line in self.source.splitlines()
            if int((re.findall(r"# (\d)$", line) or "0")[0]) <= number
        ]
        self.write(self.models, "\n".join(kept) + "\n")

    def revision(self, message: str) -> str:
        """Let autogenerate write a revision, and return what it printed."""
        return self.ok("revision --autogenerate", "-m", message)

    def written(self) -> list[str]:
        """Return the texts of all revisions, oldest first."""
        found = sorted((self.root / self.versions).glob("*.py"), key=lambda path: path.stat().st_mtime_ns)
        return [path.read_text() for path in found if path.name != "__init__.py"]

    def live(self) -> None:
        """Make a history of three revisions with plain Alembic."""
        for number, message in enumerate(("users", "email", "orders"), 1):
            self.stage(number)
            self.revision(message)
            self.ok("upgrade", "head")
        assert len(self.written()) == 3
        for text in self.written():
            assert re.search(r"^revision\b.* = ['\"][0-9a-f]{12}['\"]$", text, re.MULTILINE), text


def shown(url: URL, driver: str = "postgresql+psycopg") -> str:
    """Return a database's URL for a driver."""
    return url.set(drivername=driver).render_as_string(hide_password=False)


def stock(site: Site, template: str, driver: str = "postgresql+psycopg") -> Site:
    """Make it as `alembic init` does, and name models and database."""
    site.python("-m", "alembic", "init", "-t", template, "migrations")
    url = shown(site.urls[0], driver).replace("%", "%%")
    site.edit("alembic.ini", "driver://user:pass@localhost/dbname", url)
    module = site.models.removeprefix("src/").removesuffix(".py").replace("/", ".")
    site.edit("migrations/env.py", "target_metadata = None", METADATA.format(module=module))
    return site


def name_plinth(site: Site) -> None:
    """Write the line that names Plinth into env.py."""
    path = site.root / site.env
    text = path.read_text()
    given = r"(?s)(context\.configure\(\s*connection=.*?target_metadata=[\w.]+(?:\([\w.]*\))?),?"
    assert len(re.findall(given, text)) == 1, text
    text = re.sub(given, r"\1, **plinth.options(),", text)
    path.write_text(
        text.replace("from alembic import context\n", "from alembic import context\nimport plinth\n", 1)
    )
