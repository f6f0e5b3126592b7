"""New revisions are run before they are written: in a scratch database, with rows that have something to lose."""
