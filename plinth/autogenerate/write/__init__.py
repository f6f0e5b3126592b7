"""Files: `files` joins parts to one revision or two, `rendering` writes their Python within `margins`.

`cautions` says what they mean for code that runs, and `named_in_texts` for functions that stay as they are.
"""
