"""The two that are compared: a copy of the scaffold, and the project that `alembic init` makes."""

import time
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks.cluster import Cluster
from tests.plinth.history import clear
from tests.plinth.project import Project, copy_project

PLAIN, OURS = "plain", "ours"

_MODELS = {PLAIN: "models.py", OURS: "app/models/__init__.py"}


def projects(cluster: Cluster, name: str) -> dict[str, Project]:
    """Return new projects without models and revisions, by what they are.

    Args:
        cluster: where their databases will be.
        name: of the folder that they lie in.
    """
    folder = cluster.folder / name
    ours = copy_project(folder / OURS, PLINTH_HOME=str(cluster.home))
    clear(ours)
    return {PLAIN: _plain(folder / PLAIN), OURS: ours}


def _plain(folder: Path) -> Project:
    folder.mkdir(parents=True)
    project = Project(folder)
    project.ok("alembic", "init", "alembic")
    project.replace(
        "alembic/env.py",
        "target_metadata = None",
        "import os\n\nfrom models import Base\n\ntarget_metadata = Base.metadata\n"
        'config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"].replace("%", "%%"))',
    )
    return project


def write_models(each: dict[str, Project], source: str) -> None:
    """Write the same models into both; the scaffold's own are gone."""
    for name, project in each.items():
        (project.root / _MODELS[name]).write_text(source)


def on(url: URL) -> dict[str, str]:
    """Return the environment that leads a project's command to a database."""
    return {"DATABASE_URL": url.render_as_string(hide_password=False)}


def seconds(project: Project, *arguments: str, url: URL) -> float:
    """Return how long `python -m alembic` takes, which must succeed."""
    began = time.perf_counter()
    project.ok("alembic", *arguments, **on(url))
    return time.perf_counter() - began
