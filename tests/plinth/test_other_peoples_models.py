"""The models of applications that others wrote: from nothing, and exact.

Each application is installed in an environment of its own, with the SQLAlchemy of this one.
"""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData

from tests.plinth import reduce_models
from tests.plinth.history import History
from tests.plinth.judge import try_change
from tests.plinth.project import clean_environment

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Application:
    """An application on the package index.

    Args:
        requirement: its name and version.
        imports: the statements after which all of its models are known.
        metadata: the expression that is their MetaData.
        tables: as many there are.
    """

    requirement: str
    imports: tuple[str, ...]
    metadata: str
    tables: int

    @property
    def name(self) -> str:
        """Its name."""
        return self.requirement.partition("==")[0]


KEYSTONE = (
    "application_credential.backends.sql",
    "assignment.backends.sql",
    "catalog.backends.sql",
    "credential.backends.sql",
    "endpoint_policy.backends.sql",
    "federation.backends.sql",
    "identity.backends.sql_model",
    "limit.backends.sql",
    "oauth1.backends.sql",
    "policy.backends.sql",
    "resource.backends.sql_model",
    "revoke.backends.sql",
    "trust.backends.sql",
)

APPLICATIONS = (
    Application(
        "apache-airflow-core==3.3.2",
        (
            "import airflow.models",
            "airflow.models.import_all_models()",
            "from airflow.models.base import Base",
        ),
        "Base.metadata",
        57,
    ),
    Application("buildbot==4.3.0", ("from buildbot.db.model import Model",), "Model.metadata", 42),
    Application(
        "keystone==30.0.0",
        (
            *(f"import keystone.{module}" for module in KEYSTONE),
            "from keystone.common.sql.core import ModelBase",
        ),
        "ModelBase.metadata",
        40,
    ),
)


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda application: application.name)
def test_application(
    application: Application, history: History, empty_engine: Engine, tmp_path: Path
) -> None:
    models = models_of(application, tmp_path)
    assert len(models.tables) == application.tables
    outcome = try_change(history, empty_engine, MetaData(), models)
    if not outcome.passed:
        pytest.fail(str(outcome), pytrace=False)


def models_of(application: Application, folder: Path) -> MetaData:
    """Install an application and return its models."""
    python = folder / "environment" / "bin" / "python"
    run(folder, sys.executable, "-m", "venv", str(folder / "environment"))
    ours = [f"{name}=={version(name)}" for name in ("sqlalchemy", "alembic", "psycopg", "psycopg-binary")]
    installed = run(folder, str(python), "-m", "pip", "install", "--quiet", application.requirement, *ours)
    if installed.returncode and run(folder, str(python), "-m", "pip", "index", "versions", "pip").returncode:
        pytest.skip("no package index is reachable")
    assert installed.returncode == 0, installed.stderr
    pickled = folder / "models.pickle"
    program = [str(python), str(reduce_models.__file__), *application.imports, application.metadata]
    reduced = run(folder, *program, str(pickled))
    assert reduced.returncode == 0, reduced.stdout + reduced.stderr
    return reduce_models.read(pickled)


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a program, for which the folder is home."""
    return subprocess.run(
        command,
        cwd=folder,
        env=clean_environment() | {"HOME": str(folder), "AIRFLOW_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
