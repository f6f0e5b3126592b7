"""The text of statements, read by PostgreSQL's lexical rules.

What a comment, a string or a name in quotes says is no word of a statement. A form of words is written as in
PostgreSQL's documentation, and found by whole tokens:

    lexed(text).begins("alter table [if exists] [only] <table> rename {to | column <old> to} <new>")

`<…>` is a name, with its schema where it has one, or a constant; `...` is anything but a semicolon.
"""

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

LONGEST = 63  # bytes of a name; PostgreSQL cuts off the rest

# No group is repeated possessively: before Python 3.11.5 what it had read of another one counted as a part
# (https://github.com/python/cpython/issues/106052).
# What isn't ASCII is a letter, whatever it is. Without these ranges the patterns take longer to be compiled.
_LETTER = r"[^\x00-@[-^`{-\x7f]"
_LETTER_OR_DIGIT = r"[^\x00-/:-@[-^`{-\x7f]"
_GOES_ON = r"[^\x00-#%-/:-@[-^`{-\x7f]"  # with a dollar sign
_LINE = r"--[^\n\r]*+"
_TAG = rf"\$(?:{_LETTER}{_LETTER_OR_DIGIT}*+)?\$"
_PART = r"'[^']*+(?:''[^']*+)*(?:'|\Z)"
_ESCAPED_PART = r"'[^'\\]*+(?:(?:''|\\.?)[^'\\]*+)*(?:'|\Z)"
_ON = rf"[ \t\f\v]*+(?:{_LINE})?[\n\r](?:[ \t\n\r\f\v]|{_LINE}[\n\r])*"  # between two parts of a string
_OPERATOR = r"(?!--|/\*)[-+*/<>=]"
_SPECIAL = r"[~!@#^&|`?%]"  # without one of these an operator of several characters doesn't end with + or -
_TOKEN = re.compile(
    rf"(?:[ \t\n\r\f\v]++|{_LINE})*(?:"
    rf"(?P<word>(?![eEbBxXnN]'|[uU]&['\"]){_LETTER}{_GOES_ON}*+)"
    rf"|(?P<string>(?:[bBxXnN]|[uU]&)?{_PART}(?:{_ON}{_PART})*"
    rf"|[eE]{_ESCAPED_PART}(?:{_ON}{_ESCAPED_PART})*"
    rf"|(?P<tag>{_TAG}).*?(?:(?P=tag)|\Z))"
    rf'|(?P<quoted>(?:[uU]&)?"[^"]*+(?:""[^"]*+)*(?:"|\Z))'
    r"|(?P<comment>/\*)|(?P<end>\Z)"
    r"|(?P<other>[(),;]|\.?[0-9](?:[eE][-+][0-9]|[0-9A-Za-z_]|(?!\.\.)\.)*|\$[0-9]+|::|:=|\.\."
    rf"|(?:{_OPERATOR})*{_SPECIAL}(?:{_OPERATOR}|{_SPECIAL})*|(?:{_OPERATOR})*(?![-+]){_OPERATOR}|.))",
    re.DOTALL,
)
_DOLLARS = re.compile(_TAG)
_COMMENT = re.compile(r"/\*|\*/")
_PARTS = re.compile(rf"({_PART})(?:{_ON})?")
_ESCAPED_PARTS = re.compile(rf"({_ESCAPED_PART})(?:{_ON})?", re.DOTALL)
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(
    rf"\\(?:([0-7]{{1,3}})|(?:x({_HEX}{{1,2}})|u({_HEX}{{4}})|U(000{_HEX}{{5}}))|(.))|''", re.DOTALL
)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UPPER = {number: number + 32 for number in range(ord("A"), ord("Z") + 1)}
_DEEPER = {"(": 1, ")": -1}
_OPENS = frozenset({"begin", "then", "else", "loop"})  # behind which a statement of PL/pgSQL begins

_FORM = re.compile(r"<(?P<value>\w+)>|(?P<any>\.\.\.)|(?P<mark>[][{}|])|'(?P<string>[^']*)'|(?P<word>\w+|\S)")
_MARKS = {"[": "(?:", "]": ")?", "{": "(?:", "}": ")", "|": "|"}
_NAME = rf'(?:{_LETTER}|")[^\x00]*+'
_VALUE = rf"(?:{_NAME}(?:\x00\.\x00{_NAME})*|['0-9][^\x00]*+)"


@dataclass(frozen=True)
class Tokens:
    """Tokens of a text.

    Args:
        marked: each with a NUL before it, and one at the end: words in lower case, and of a string its value,
            behind one quotation mark.
    """

    marked: str

    @functools.cached_property
    def listed(self) -> list[str]:
        """Each of them."""
        return self.marked.split("\0")[1:-1]

    def begins(self, form: str) -> "Found | None":
        """Return what a form finds at the beginning."""
        found = _pattern(form).match(self.marked)
        return found and Found(found)

    def matches(self, form: str) -> "Found | None":
        """Return what a form finds that is all there is, but for a semicolon."""
        found = self.begins(form)
        return found if found and found.rest.marked in {"\0", "\0;\0"} else None

    def find(self, form: str) -> "Iterator[Found]":
        """Yield what a form finds anywhere."""
        yield from map(Found, _pattern(form).finditer(self.marked))

    def has(self, form: str) -> bool:
        """Whether a form finds something."""
        return _pattern(form).search(self.marked) is not None

    def names(self, name: str) -> bool:
        """Whether a name is among them.

        Args:
            name: as the catalog has it.
        """
        quoted = '"' + name.replace('"', '""') + '"'
        return f"\0{quoted}\0" in self.marked or (f"\0{name}\0" in self.marked and plain(name) == name)

    def elements(self) -> "Iterator[Tokens]":
        """Yield what stands between commas, but for those in parentheses."""
        begin = depth = 0
        for place, each in enumerate([*self.listed, ","]):
            depth += _DEEPER.get(each, 0)
            if each == "," and depth <= 0:
                yield Tokens(_marked(self.listed[begin:place]))
                begin = place + 1


class Found:
    """What a form has found."""

    def __init__(self, match: re.Match[str]) -> None:
        self._match = match

    def __getitem__(self, value: str) -> str:
        """Return a name as SQL has it, or a constant; of a string its value, behind one quotation mark."""
        return (self._match[value] or "").replace("\0", "")

    def has(self, words: str) -> bool:
        """Whether some words are a part of it."""
        return _marked(words.split()) in f"{self._match[0]}\0"

    @property
    def rest(self) -> Tokens:
        """What comes behind it."""
        return Tokens(self._match.string[self._match.end() :])


@dataclass(frozen=True)
class Lexed(Tokens):
    """A text with its tokens.

    Args:
        text: as it stands.
    """

    text: str

    @functools.cached_property
    def statements(self) -> "list[Lexed]":
        """Its statements; an empty one, if there is none."""
        if self.marked.find("\0;\0") in {-1, len(self.marked) - 3}:
            return [self]
        return [each for _, each in self._cut()] or [self]

    @functools.cached_property
    def executed(self) -> "list[Lexed]":
        """Its statements, and those that a DO block executes, also what is in strings behind an EXECUTE."""
        found: list[Lexed] = []
        for each in self.statements:
            found.append(each)
            for _, part in each.block._cut(_OPENS) if each.block else ():
                texts = [text for run in part.find("execute") for text in run.rest.listed if text[0] == "'"]
                found += [part, *(each for text in texts for each in lexed(text[1:]).executed)]
        return found

    @functools.cached_property
    def nested(self) -> "list[Lexed]":
        """Itself, and what is in its strings, and in theirs: names, and bodies of functions."""
        return [self, *(each for text in self.listed if text[0] == "'" for each in lexed(text[1:]).nested)]

    @property
    def block(self) -> "Lexed | None":
        """What stands in it, if it is a DO block."""
        found = self.begins("do [language <language>] <block>")
        return lexed(found["block"][1:]) if found and found["block"].startswith("'") else None

    def with_statements(self, change: "Callable[[Lexed], str | None]") -> str:
        """Return the text with other statements.

        Args:
            change: returns what is to stand in the place of a statement; None if it stays.
        """
        return self._exchanged(change)

    def with_blocks(self, change: "Callable[[Lexed], str | None]") -> str:
        """Return the text with other statements in its DO blocks, as `with_statements` does."""

        def in_block(statement: Lexed) -> str | None:
            block = statement.block
            changed = block._exchanged(change, _OPENS) if block else ""
            if block is None or changed == block.text:
                return None
            start, end = next(span for token, span in _tokens(statement.text) if token.startswith("'"))
            tag = (_DOLLARS.match(statement.text, start) or [""])[0]
            quoted = f"{tag}{changed}{tag}" if tag else "'" + changed.replace("'", "''") + "'"
            return statement.text[:start] + quoted + statement.text[end:]

        return self._exchanged(in_block)

    def _exchanged(self, change: "Callable[[Lexed], str | None]", words: Collection[str] = ()) -> str:
        text = self.text
        for start, each in reversed([*self._cut(words)]):
            other = change(each)
            if other is not None:
                text = text[:start] + other + text[start + len(each.text) :]
        return text

    def _cut(self, words: Collection[str] = ()) -> "Iterator[tuple[int, Lexed]]":
        """Yield the statements, and where they begin; before each is a semicolon, or one of some words."""
        held: list[str] = []
        start = end = depth = cases = 0
        for each, (begin, behind) in _tokens(self.text):
            depth += _DEEPER.get(each, 0)
            if each == "case" and held and held[-1] != "end":  # an expression
                cases += 1
            elif each == "end" and cases:
                cases -= 1
            is_end = each in words or (each == ";" and not _is_open(held))
            if is_end and depth <= 0 and not cases:
                if held:
                    yield start, Lexed(_marked(held), self.text[start:end])
                held, depth = [], 0
            else:
                start = start if held else begin
                end = behind
                held.append(each)
        if held:
            yield start, Lexed(_marked(held), self.text[start:end])


@functools.lru_cache(maxsize=16)
def lexed(text: str) -> Lexed:
    """Return a text with its tokens; what PostgreSQL would refuse, too."""
    text = text.replace("\0", " ")  # which PostgreSQL refuses
    return Lexed(_marked(token for token, _ in _tokens(text)), text)


def plain(identifier: str) -> str:
    """Return a name as the catalog has it: without its quotes, or in lower case where it has none."""
    if identifier.startswith('"'):
        return _cut_off(identifier[1:-1].replace('""', '"'))
    return _cut_off(_folded(identifier))


def parts(name: str) -> list[str]:
    """Return a name's parts, schema and table for instance, as the catalog has them."""
    return [plain(each) for each in lexed(name).listed if each != "."]


def _tokens(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the tokens, and where they begin and end."""
    folded = _folded(text)
    place = 0
    while place < len(text):
        for found in _TOKEN.finditer(text, place):
            kind = found.lastgroup
            if kind == "word":
                start, end = span = found.span("word")
                yield folded[start:end] if end - start < 16 else _cut_off(folded[start:end]), span
            elif kind == "other":
                yield found["other"], found.span("other")
            elif kind == "string":
                yield _value(found), found.span("string")
            elif kind == "quoted":
                yield _quoted(found["quoted"]), found.span("quoted")
            elif kind == "comment":
                place = _behind_comment(text, found.end())
                break
            else:
                return


def _behind_comment(text: str, place: int) -> int:
    """Return where a comment ends: others may be in it."""
    depth = 1
    for found in _COMMENT.finditer(text, place):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return len(text)


def _marked(tokens: Iterable[str]) -> str:
    return "\0".join(["", *tokens, ""])


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_UPPER)


def _cut_off(name: str) -> str:
    return name.encode(errors="surrogatepass")[:LONGEST].decode(errors="ignore")


def _quoted(token: str) -> str:
    name = token[token.index('"') :]  # what U&"…" escapes stays so
    return name if len(name) < 16 else '"' + plain(name).replace('"', '""') + '"'


def _value(string: re.Match[str]) -> str:
    """Return a string's value, behind one quotation mark."""
    token, tag = string["string"], string["tag"]
    if tag:
        return "'" + token[len(tag) :].removesuffix(tag)
    if token[0] in "eE":
        found = "".join(each[1:-1] for each in _ESCAPED_PARTS.findall(token))
        return "'" + _ESCAPE.sub(_unescaped, found)
    return "'" + "".join(each[1:-1].replace("''", "'") for each in _PARTS.findall(token))


def _unescaped(found: re.Match[str]) -> str:
    octal, *hexadecimal, other = found.groups()
    if octal:
        return chr(int(octal, 8) or 32)
    code = next(filter(None, hexadecimal), None)
    return chr(int(code, 16) or 32) if code else _ESCAPES.get(other, other or "'")


def _is_open(tokens: list[str]) -> bool:
    """Whether a statement has a body of others, BEGIN ATOMIC … END, and that hasn't ended."""
    if "atomic" not in tokens:
        return False
    _, begin, body = _marked(tokens).partition("\0begin\0atomic\0")
    return begin != "" and body.split("\0").count("end") <= body.split("\0").count("case")


@functools.cache
def _pattern(form: str) -> re.Pattern[str]:
    found: list[str] = []
    for each in _FORM.finditer(form):
        if each["value"]:
            found.append(rf"\x00(?P<{each['value']}>{_VALUE})")
        elif each["any"]:
            found.append(r"(?:\x00(?!;\x00)[^\x00]*+)*?")
        elif each["mark"]:
            found.append(_MARKS[each[0]])
        else:
            found.append(r"\x00" + re.escape(each["word"] or f"'{each['string']}"))
    return re.compile(rf"(?:{''.join(found)})(?=\x00)")
