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
