"""Scratch databases, and what is done in them.

`databases` makes them, `beyond` leaves what isn't in them as it is, `copying` copies a database's schema into
one, `prerequisites` and `baseline` find what models and revisions lean on and don't make, `left_behind` what
downgrades leave, `revisions` runs revisions, `cache` keeps what was found out.
"""
