"""A comment on a constraint takes nothing from running code: it doesn't wait for after it."""

import sqlalchemy as sa
from sqlalchemy import Engine, MetaData

from tests.plinth.kinds.kind import NAMING_CONVENTION
from tests.plinth.project import Project
from tests.plinth.test_busy_tables import begun, write


def models(comment: str | None, *more: sa.Column[int]) -> MetaData:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    sa.Table(
        "t",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer),
        *more,
        sa.CheckConstraint("n > 0", name="c", comment=comment),
        sa.UniqueConstraint("n", comment=comment),
        sa.ForeignKeyConstraint(["n"], ["t.id"], comment=comment),
    )
    return metadata


def test_a_comment_is_written_before_the_code(project: Project, empty_engine: Engine) -> None:
    history = begun(project, empty_engine, models(None))
    [revision] = write(history, empty_engine, models("why", sa.Column("m", sa.Integer)))
    [file] = history.folder.glob(f"versions/{revision}_*.py")
    text = file.read_text()
    assert "deploy" not in text
    assert text.count("IS 'why'") == 3
    assert "add_column" in text
