"""Scratch databases, and what is done in them.

`databases` makes them, `copying` copies a database's schema into one, `prerequisites` and `baseline` find
what models and revisions lean on and don't make, `left_behind` what downgrades leave, `revisions` runs
revisions, `roles` leaves those of the server as they are, `cache` keeps what was found out.
"""
