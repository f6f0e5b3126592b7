"""New revisions are run in a scratch database, with rows that have something to lose, before they are written."""
