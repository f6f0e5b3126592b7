"""Files: `files` joins parts to one revision or two, `rendering` writes their Python within `margins`."""
