"""What README and docs/ tell a reader to type and write works, and shows what comes out."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sybil.example import SybilFailure

from plinth import settings
from tests.plinth.documents import read
from tests.plinth.project import Project, copy_for_a_reader

DOCUMENTS = ("README.md", *sorted(f"docs/{path.name}" for path in (settings.root() / "docs").glob("*.md")))


@pytest.fixture
def reader(open_folder: Path) -> Iterator[Project]:
    """A reader's copy, with the local server that its commands start."""
    project = copy_for_a_reader(open_folder / "my app")
    yield project
    if (project.root / ".postgres").exists():
        project.ok("plinth", "stop")


# tests/plinth/test_from_knex.py and test_adopt.py run the others, on a database that Knex made and in
# projects that Alembic made. The guide takes minutes,
# and the pages about planning and applying start a server each.
LONG = {"docs/migrations.md", "docs/planning.md", "docs/applying.md"}
READ = [
    pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
    for name in DOCUMENTS
    if name not in {"docs/from-knex.md", "docs/adopting.md"}
]


@pytest.mark.parametrize("name", READ)
def test_a_document_works_from_its_first_block_to_its_last(
    reader: Project, name: str, record_property: Callable[[str, object], None]
) -> None:
    done = read(reader, name)
    record_property("summary", done.summary(name))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_in_the_text_exist(name: str) -> None:
    text = (settings.root() / name).read_text()
    targets = re.findall(r"^([a-z-]+):", (settings.root() / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= set(targets)
    main = (settings.root() / "plinth" / "__main__.py").read_text()
    for command in re.findall(r"`python -m plinth ([a-z-]+)", text):
        assert f'add("{command}"' in main, command


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_to_files_lead_somewhere(name: str) -> None:
    document = settings.root() / name
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        assert "://" in link or (document.parent / link).exists(), link


def test_every_make_target_is_explained() -> None:
    help_text = subprocess.check_output(
        ["/usr/bin/env", "make", "-s", "help"], cwd=settings.root(), text=True
    )
    targets = re.findall(r"^([a-z-]+):", (settings.root() / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert all(f"make {target} " in help_text for target in targets)


WRONG = {
    "other output": ("```sh\necho one\n```\n\n```text\ntwo\n```\n", "-two\n+one"),
    "output that came from nowhere": ("```text\ntwo\n```\n", "no command"),
    "less output than came": ("```sh\nprintf 'one\\ntwo\\n'\n```\n\n```text\none\n```\n", "+two"),
    "a command that fails": ("```sh\nfalse\necho after\n```\n", "exit code 1, not 0"),
    "a command that should fail": ("<!-- exit: 1 -->\n```sh\ntrue\n```\n", "exit code 0, not 1"),
    "hidden commands that fail": ("<!-- sh\necho hidden; false\n-->\n", "hidden"),
    "another program's": ("```js\nexports.up\n```\n", "no rule"),
    "a block without a language": ("```\ntrue\n```\n", "no rule"),
    "no reason": ("<!-- not run: -->\n```js\nexports.up\n```\n", "say why"),
    "no file": ("Write:\n\n```python\nx = 1\n```\n", "which file"),
    "a file that is there": ("Write `app/seeds.py`:\n\n```python\nx = 1\n```\n", "say where"),
    "a place that is not there": (
        "Write `app/seeds.py`:\n\n<!-- after: nowhere -->\n```python\nx = 1\n```\n",
        "0 lines of seeds.py",
    ),
    "a revision that nobody wrote": (
        "It wrote `alembic/versions/<time>_add_x.py`:\n\n```python\nx = 1\n```\n",
        "0 files",
    ),
    "another revision": (
        "It is `alembic/versions/<time>_create_users.py`:\n\n```python\nop.drop_table('customers')\n```\n",
        "customers",
    ),
    "a change of what is not there": ("In `app/seeds.py`:\n\n```diff\n-x = 1\n+x = 2\n```\n", "0 times"),
    "another picture": ("```mermaid\nerDiagram\n  users ||--o{ orders : user_id\n```\n", "orders"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy for documents that need no database."""
    return copy_for_a_reader(tmp_path_factory.mktemp("reader") / "my app")


@pytest.mark.parametrize(("document", "complaint"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_in_a_document_is_noticed(copy: Project, document: str, complaint: str) -> None:
    (copy.root / "docs" / "wrong.md").write_text(document)
    with pytest.raises(SybilFailure, match=re.escape(complaint)):
        read(copy, "docs/wrong.md")


RIGHT = """
<!-- sh
echo before > .order
-->

```sh
echo 20260101120000 20260101120000_one_name.py took 0.3 s in "$PWD" && cat .order && seq 9
```

```text
20251231235959 20251231235959_one_name.py took 12 ms in /home/you/my-app
before
1
…
9
```

<!-- exit: 3 -->
```sh
exit 3
```

Write `app/limits.py`:

```python
FIRST = 1
```

and into `app/limits.py`

<!-- after: FIRST -->
```python
SECOND = 2
```

Then change `app/limits.py`:

```diff
-FIRST = 1
+FIRST = 10
 SECOND = 2
```

It says now in `app/limits.py`:

<!-- shown -->
```python
FIRST = 10
SECOND = 2
```

The revision `alembic/versions/<time>_create_users.py` has

```python
def downgrade() -> None:
    op.drop_table("users")
```

<!-- not run: npm -->
```js
exports.up
```
"""


def test_what_is_right_in_a_document_is_counted(copy: Project) -> None:
    (copy.root / "docs" / "right.md").write_text(RIGHT)
    done = read(copy, "docs/right.md")
    line = RIGHT.splitlines().index("```js") + 1
    assert done.summary("right") == f"right: 8 blocks run, 1 not (line {line}: npm)"
