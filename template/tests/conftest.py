"""What the tests of this project choose; the fixtures are those of `plinth.testing`."""

pytest_plugins = ["plinth.testing"]
