"""Files of the project's, changed with the line ends and the byte order mark that they have."""

import codecs
from pathlib import Path


def read(path: Path) -> str:
    """Return a file's text as Python reads it."""
    return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")


def write(path: Path, text: str) -> None:
    """Give a file that is there another text."""
    standing = path.read_bytes()
    made = (text.replace("\n", "\r\n") if b"\r\n" in standing else text).encode()
    path.write_bytes(codecs.BOM_UTF8 + made if standing.startswith(codecs.BOM_UTF8) else made)
