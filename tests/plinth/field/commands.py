"""`python -m plinth …` within this process: on this repository's revisions, with connections of our own."""

import pytest
from sqlalchemy.engine import URL

from plinth.__main__ import main


class Commands:
    """Our commands, run within this process on a database as a role."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def sign_in(self, url: URL) -> None:
        """Use this URL from now on."""
        self._monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))

    def printed(self) -> str:
        """Return what was printed."""
        return self._capsys.readouterr().out

    def ok(self, *arguments: str) -> str:
        """Run one that must succeed; return what it printed."""
        self._capsys.readouterr()
        code = main(arguments)
        said = self._capsys.readouterr()
        assert code == 0, said.out + said.err
        return said.out

    def refusal(self, *arguments: str) -> str:
        """Run one; return the one line with which it failed, or nothing."""
        self._capsys.readouterr()
        if main(arguments) == 0:
            return ""
        [line] = [line for line in self._capsys.readouterr().err.splitlines() if line.startswith("plinth: ")]
        return line
