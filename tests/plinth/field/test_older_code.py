"""The code that runs, on the schema that a deploy makes before the new code."""

from pathlib import Path

import pytest

from tests.plinth.conftest import own_home
from tests.plinth.project import HEAD, Project, copy_for_a_reader

AFTER = 'deploy = "after"'
ADD = 'op.add_column("users", sa.Column("nickname", sa.String()))'
DROP = 'op.drop_column("users", "last_name")'


@pytest.fixture
def repository(tmp_path: Path) -> Project:
    """The scaffold in a git repository, whose only commit is the code that runs."""
    made = copy_for_a_reader(tmp_path / "my app")
    return Project(made.root, {**made.environment, "PLINTH_HOME": own_home()})


def try_it(repository: Project) -> tuple[int, str]:
    """Return the exit code of the trial and what it says; it leaves no working tree behind."""
    done = repository.shell("make test-before REF=HEAD T=tests/test_models.py")
    assert len(repository.shell("git worktree list").stdout.splitlines()) == 1
    return done.returncode, done.stdout


@pytest.mark.slow
def test_it_works_on_what_comes_before_and_a_drop_that_does_not_wait_is_found(repository: Project) -> None:
    repository.write_revision("wider", HEAD, ADD, 'op.drop_column("users", "nickname")')
    repository.write_revision("narrower", "wider", DROP, head=AFTER)
    code, said = try_it(repository)
    assert code == 0, said
    assert "The tests of HEAD pass on the schema before the new code: wider." in said
    assert "Left out, for they come after the code: narrower." in said
    repository.write_revision("narrower", "wider", DROP)
    code, said = try_it(repository)
    assert code != 0
    assert 'column "last_name" of relation "users" does not exist' in said
    assert "The tests of HEAD don't pass on the schema before the new code: wider, narrower." in said


def test_what_can_not_be_tried_is_said(repository: Project) -> None:
    assert "there is nothing to try" in try_it(repository)[1]
    assert "plinth: git worktree: " in repository.refused("plinth", "test-before", "no-such-branch")
    newest = next((repository.root / "alembic" / "versions").glob(f"{HEAD}_*.py"))
    newest.unlink()
    assert repository.refused("plinth", "test-before", "HEAD") == (
        f"plinth: HEAD has revisions that aren't here: {HEAD}. "
        "Bring this branch up to date first: git rebase HEAD"
    )


INI = """
[alembic]
script_location = {folder}alembic
version_locations = {folder}alembic/versions:{plug}
path_separator = os
prepend_sys_path = .
"""


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["", "%(here)s/", "%(here)s/../"])
def test_the_older_revisions_are_those_of_the_commit_wherever_the_configuration_is(
    repository: Project, folder: str
) -> None:
    """What it says may be relative to the folder in which one works."""
    plug = repository.root / "plug" / "other_x.py"
    plug.parent.mkdir()
    plug.write_text("revision = 'other'\ndown_revision = None\ndef upgrade(): pass\ndef downgrade(): pass\n")
    ini = repository.root / ("migrations/alembic.ini" if ".." in folder else "alembic.ini")
    ini.parent.mkdir(exist_ok=True)
    (repository.root / "alembic.ini").unlink()
    ini.write_text(INI.format(folder=folder, plug=f"{folder}plug"))
    commit = "git add --all && git commit --quiet --message moved"
    assert repository.shell(commit).returncode == 0
    assert "there is nothing to try" in try_it(repository)[1]
    (repository.root / "tests" / "test_models.py").write_text("def test_it(): raise ValueError('tried')\n")
    assert repository.shell(commit).returncode == 0
    repository.write_revision("wider", HEAD, ADD, 'op.drop_column("users", "nickname")')
    code, said = try_it(repository)
    assert code != 0
    assert "ValueError: tried" in said
    assert "don't pass on the schema before the new code: wider." in said
    assert plug.exists()


def test_revisions_that_lie_elsewhere_are_not_touched(repository: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    revision = elsewhere / "other_x.py"
    revision.write_text(
        "revision = 'other'\ndown_revision = None\ndef upgrade(): pass\ndef downgrade(): pass\n"
    )
    kept = repository.root / "alembic.ini"
    kept.write_text(INI.format(folder="%(here)s/", plug=elsewhere))
    repository.shell("git add --all && git commit --quiet --message elsewhere")
    repository.write_revision("wider", HEAD, ADD, 'op.drop_column("users", "nickname")')
    refused = repository.refused("plinth", "test-before", "HEAD")
    assert f"leads to revisions outside of that commit, in {elsewhere}, which are not touched" in refused
    assert revision.exists()
    kept.write_text(INI.format(folder="%(here)s/", plug="%(here)s/alembic/others"))
    repository.shell("git add --all && git commit --quiet --message inside")
    kept.write_text(INI.format(folder="%(here)s/", plug=elsewhere))
    refused = repository.refused("plinth", "test-before", "HEAD")
    assert f"{revision} lies outside of this repository" in refused
    kept.write_text(INI.format(folder="%(here)s/", plug="%(here)s/alembic/newer"))
    (repository.root / "alembic" / "newer").mkdir()
    (repository.root / "alembic" / "newer" / "other_x.py").write_text(revision.read_text())
    refused = repository.refused("plinth", "test-before", "HEAD")
    assert "another folder than they are in now, and would be tried without these: other." in refused


@pytest.mark.slow
def test_an_installed_project_runs_its_older_code(repository: Project) -> None:
    """An editable install leads to the working folder, whose code is the new one."""
    module = repository.root / "src" / "shop" / "__init__.py"
    module.parent.mkdir(parents=True)
    module.write_text("AGE = 'old'\n")
    (repository.root / "tests" / "test_shop.py").write_text(
        "from shop import AGE\n\n\ndef test_it(): assert AGE == 'old'\n"
    )
    repository.shell("git add --all && git -c user.name=x -c user.email=x commit --quiet --message shop")
    module.write_text("AGE = 'new'\n")
    repository.write_revision("wider", HEAD, ADD, 'op.drop_column("users", "nickname")')
    installed = f"PYTHONPATH='{repository.root / 'src'}'"
    done = repository.shell(f"{installed} make test-before REF=HEAD T=tests/test_shop.py")
    assert done.returncode == 0, done.stdout
