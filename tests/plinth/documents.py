"""Documents that are run: each block of a Markdown file does in a project's copy what a reader would do.

- `sh` is run in a shell, `sql` in psql; a `text` block that follows is what it prints. Ids, times and paths
  may differ, and `…` stands for what is left out: a line of its own for any number of lines.
- `python`, `toml`, `ini`, `make` and `yaml` are files, or parts of them. Which file, the last path says that
  stands as `code` in the paragraph before. A file with `<time>` or `<id>` in its name was written by a
  command: the block is compared with it. Any other is the reader's to write.
- `diff` changes the file that the paragraph before names: lines with `-` go, lines with `+` come.
- `mermaid` is a part of docs/schema.md.

What a reader need not see stands in comments before the block:

- `<!-- before: email: -->`, `<!-- after: email: -->`: where in the file the block is put: at the line that
  begins so.
- `<!-- instead -->`: the block takes the place of the whole file.
- `<!-- shown -->`: the file is there and says this.
- `<!-- file: Makefile -->`: the file, where no path in the paragraph says it.
- `<!-- exit: 1 -->`: the commands fail with this exit code.
- `<!-- not run: npm -->`: another program's block, and why it isn't run.
- `<!-- sh` and lines up to `-->`: commands that are run all the same.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from pathlib import Path
from textwrap import indent

from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer

from tests.plinth.project import Project

DIRECTIVES = ("before", "after", "instead", "shown", "file", "exit", "not run", "sh")
HOME = "/home/you/my-app"  # where a document's reader has the project
LEFT_OUT = "…"

_VARYING = (
    (re.compile(r"(?<!\d)\d{14}(?!\d)"), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|min)\b"), "<duration>"),
    (re.compile(r"\b[\w.-]+@[\w.-]+"), "<who>"),
    (re.compile(r"\bMakefile:\d+\b"), "Makefile:<line>"),
)


@dataclass
class Reader:
    """Who reads a document and does what it says.

    Args:
        project: the reader's copy.
        output: what the last commands printed.
        directives: what comments say of the next block.
        run: how many blocks were run.
        left_out: those that were not, each with its line and reason.
    """

    project: Project
    output: str | None = None
    directives: dict[str, str] = field(default_factory=dict)
    run: int = 0
    left_out: list[str] = field(default_factory=list)

    def summary(self, name: str) -> str:
        """Return how much of the document was run, in a sentence."""
        reasons = f" ({'; '.join(self.left_out)})" if self.left_out else ""
        return f"{name}: {self.run} blocks run, {len(self.left_out)} not{reasons}"


def read(project: Project, name: str) -> Reader:
    """Do what a document says, from its first block to its last.

    Args:
        project: the copy to do it in.
        name: the document, from the project's root.

    Raises:
        sybil.example.SybilFailure: something else came out than what is shown.
    """
    reader = Reader(project)

    def parser(document: Document) -> Iterable[Region]:
        comments = DirectiveInHTMLCommentLexer(f"(?:{'|'.join(DIRECTIVES)})")
        for region in (*comments(document), *FencedCodeBlockLexer(r"[^\n]*")(document)):
            yield Region(region.start, region.end, region.lexemes, evaluator)

    def evaluator(example: Example) -> str | None:
        if "directive" in example.parsed:
            return reader_notes(reader, example)
        return do_block(reader, example)

    for example in Document.parse(str(project.root / name), parser):
        example.evaluate()
    return reader


def reader_notes(reader: Reader, example: Example) -> str | None:
    """Keep what a comment says for the next block, or run its commands at once."""
    directive = example.parsed["directive"]
    if directive == "sh":
        done = reader.project.shell(example.parsed["source"])
        return done.stdout if done.returncode else None
    reader.directives[directive] = example.parsed["arguments"]
    return None


def do_block(reader: Reader, example: Example) -> str | None:
    """Do what a block says; return what is wrong with it."""
    language = example.parsed["language"]
    directives, reader.directives = reader.directives, {}
    if "not run" in directives:
        reader.left_out.append(f"line {example.line}: {directives['not run']}")
        return None if directives["not run"] else "say why it is not run"
    if language not in RULES:
        return f"there is no rule for blocks of {language!r}: see {__name__}, or say why it is not run"
    reader.run += 1
    block = Block(str(example.parsed["source"]), paragraph_before(example), directives)
    return "\n".join(RULES[language](reader, block)) or None


@dataclass(frozen=True)
class Block:
    """A block and what is said of it.

    Args:
        source: its text, without the indentation that all lines share.
        paragraph: the paragraph before it.
        directives: what the comments before it say.
    """

    source: str
    paragraph: str
    directives: dict[str, str]

    def file(self) -> str | None:
        """Return the file that the block belongs to."""
        named = re.findall(r"`([\w./<>-]+\.\w+)`", self.paragraph)
        return self.directives.get("file") or (named[-1] if named else None)


Rule = Callable[[Reader, Block], Iterator[str]]


def run_commands(reader: Reader, block: Block) -> Iterator[str]:
    """Run commands in a shell."""
    done = reader.project.shell(block.source)
    reader.output = done.stdout
    expected = int(block.directives.get("exit", 0))
    if done.returncode != expected:
        yield f"exit code {done.returncode}, not {expected}: {block.source}{done.stdout}"


def run_sql(reader: Reader, block: Block) -> Iterator[str]:
    """Run SQL in psql, which stops at the first error."""
    (reader.project.root / ".git" / "block.sql").write_text(f"\\set ON_ERROR_STOP on\n{block.source}")
    return run_commands(reader, replace(block, source="python -m plinth shell < .git/block.sql\n"))


def compare_output(reader: Reader, block: Block) -> Iterator[str]:
    """Compare what is shown with what the last commands printed."""
    if reader.output is None:
        yield "there is no command that printed this"
    else:
        yield from difference(block.source, reader.output, reader.project.root, whole=True)
    reader.output = None


def write_or_compare(reader: Reader, block: Block) -> Iterator[str]:
    """Write a file, or compare it where a command wrote it."""
    name = block.file()
    if name is None:
        yield "no path in the paragraph before says which file this is"
    elif re.search("<(time|id)>", name) or "shown" in block.directives:
        found = sorted(reader.project.root.glob(re.sub("<(time|id)>", "*", name)))
        if len(found) != 1:
            yield f"{len(found)} files are named {name}"
            return
        whole = block.source.startswith('"""')
        yield from difference(block.source, found[0].read_text(), reader.project.root, whole=whole)
    else:
        yield from write(reader.project.root / name, block)


def write(file: Path, block: Block) -> Iterator[str]:
    """Write a block into a file: the whole of it, or where a comment says."""
    places = {name: block.directives[name] for name in ("before", "after") if name in block.directives}
    if places:
        [(name, beginning)] = places.items()
        lines = file.read_text().splitlines(keepends=True)
        at = [number for number, line in enumerate(lines) if line.strip().startswith(beginning)]
        if len(at) != 1:
            yield f"{len(at)} lines of {file.name} begin with {beginning!r}"
            return
        margin = re.match(r"\s*", lines[at[0]])
        lines.insert(at[0] + (name == "after"), indent(block.source, margin[0] if margin else ""))
        file.write_text("".join(lines))
    elif file.exists() and "instead" not in block.directives:
        yield f"{file.name} is there: say where in it the block goes"
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.source)


def change(reader: Reader, block: Block) -> Iterator[str]:
    """Change a file as a diff says."""
    name = block.file()
    if name is None:
        yield "no path in the paragraph before says which file this changes"
        return
    found = sorted(reader.project.root.glob(re.sub("<(time|id)>", "*", name)))
    if len(found) != 1:
        yield f"{len(found)} files are named {name}"
        return
    [file] = found
    lines = block.source.splitlines(keepends=True)
    old = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
    new = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
    content = file.read_text()
    if content.count(old) != 1:
        yield f"these lines stand {content.count(old)} times in {name}:\n{old}"
        return
    file.write_text(content.replace(old, new))


def compare_with_schema(reader: Reader, block: Block) -> Iterator[str]:
    """See that a small picture is a part of the large one."""
    large = (reader.project.root / "docs" / "schema.md").read_text().splitlines()
    yield from (f"not in docs/schema.md: {line}" for line in block.source.splitlines() if line not in large)


RULES: dict[str, Rule] = {
    "sh": run_commands,
    "sql": run_sql,
    "text": compare_output,
    **dict.fromkeys(("python", "toml", "ini", "make", "yaml"), write_or_compare),
    "diff": change,
    "mermaid": compare_with_schema,
}


def paragraph_before(example: Example) -> str:
    """Return the paragraph before a block, comments aside."""
    text = re.sub(r"<!--.*?-->", "", example.document.text[: example.start], flags=re.DOTALL)
    return text.rstrip().rpartition("\n\n")[2]


def difference(shown: str, found: str, root: Path, *, whole: bool) -> Iterator[str]:
    """Yield how a text differs from the one that is shown; nothing where they are alike.

    Args:
        shown: the document's.
        found: what came out.
        root: the project's folder, which a document calls by another name.
        whole: the whole text is shown, and not some lines of it.
    """
    expected, actual = alike(shown, root), alike(found, root)
    pattern = "".join(
        r"(?:.*\n)*?" if line == LEFT_OUT else re.escape(line).replace(LEFT_OUT, ".*") + r"\n"
        for line in expected.splitlines()
    )
    matched = re.fullmatch(pattern, actual) if whole else re.search(f"(?m)^{pattern}", actual)
    if not matched:
        yield from unified_diff(expected.splitlines(), actual.splitlines(), "shown", "came out", lineterm="")


def alike(text: str, root: Path) -> str:
    """Return a text without what differs from one reader and run to the next."""
    text = text.replace(str(root.resolve()), HOME).replace(str(root), HOME)
    for varying, name in _VARYING:
        text = varying.sub(name, text)
    return "".join(f"{alike_line(line)}\n" for line in text.strip("\n").splitlines())


def alike_line(line: str) -> str:
    """Return a line without spaces at its end, a table's line whatever the width of its columns."""
    if re.match(r"\s*[│┃┏┡├└]", line):
        line = re.sub(r"\s+", " ", re.sub(r"([━─])\1+", r"\1", line))
    return line.rstrip()
