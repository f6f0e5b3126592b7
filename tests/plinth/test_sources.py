"""What the modules are that a revision imports itself, also where its source needn't be parsed for that."""

import textwrap
from pathlib import Path

import pytest

from plinth.apply.sources import helpers


@pytest.fixture(autouse=True)
def a_module_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helpers_of_ours.py").write_text("def run(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        "import helpers_of_ours",
        "import sqlalchemy as sa, helpers_of_ours",
        "from alembic import op; import helpers_of_ours",
        "import sqlalchemy as sa; from helpers_of_ours import run",
        "from alembic import op  # import it\rimport helpers_of_ours",
        "from \\\n    helpers_of_ours import run",
        "import \\\n    helpers_of_ours",
        "def upgrade():\n    import helpers_of_ours",
        "from helpers_of_ours import (\n    run\n)",
        "try:\n    import nothing_of_that_name\nexcept ImportError:\n    from helpers_of_ours import run",
        "import sqlalchemy,\\\nhelpers_of_ours",
    ],
)
def test_a_module_of_the_project_is_found(source: str) -> None:
    assert [name for name, _ in helpers(source.encode())] == ["helpers_of_ours"]


def test_libraries_are_none_nor_is_what_a_text_says() -> None:
    source = textwrap.dedent(
        '''
        """Add what the import needs."""
        import datetime as dt
        from pathlib import Path
        import sqlalchemy as sa
        from sqlalchemy.dialects.postgresql import ARRAY, JSONB
        from alembic import op
        '''
    )
    assert [*helpers(source.encode())] == []
    assert [*helpers(None)] == []
