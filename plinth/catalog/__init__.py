"""What a database's schema looks like, in PostgreSQL's own words.

- `picture`: the types that hold it.
- `queries`, `read`: how it is read; `reread`: one form for what PostgreSQL prints in two.
- `dependencies`: what stands on what, by `pg_depend`.
- `unseen`: what a picture doesn't show.
- `differences`: in what two of them differ.
"""

from plinth.catalog.differences import Difference, differences
from plinth.catalog.picture import Catalog, ColumnName, Name
from plinth.catalog.read import read_catalog, record_catalog, recorded_catalog
from plinth.catalog.unseen import unseen, unseen_differences

__all__ = [
    "Catalog",
    "ColumnName",
    "Difference",
    "Name",
    "differences",
    "read_catalog",
    "record_catalog",
    "recorded_catalog",
    "unseen",
    "unseen_differences",
]
