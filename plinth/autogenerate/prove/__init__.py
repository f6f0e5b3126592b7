"""New revisions are run before they are written (`proof`).

In a scratch database, with `rows` that have something to lose.
"""
