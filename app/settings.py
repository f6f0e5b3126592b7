"""Where configuration comes from: the environment, then `.env`, then what fits a developer's machine."""

from plinth.settings import app_env, database_url, variable

__all__ = ["app_env", "database_url", "variable"]
