"""Refuses revisions that block a busy database or lose data, hand-written ones above all.

- `rules`: what is refused, why, and the safe form to write instead; which of Squawk's rules count.
- `rendering`: the SQL of each revision.
- `squawk`: runs Squawk over it.
- `exceptions`: what a revision allows itself, with a reason.
- `linting`: all of it together, with plinth.plan's measurement as the judge.
- `report`: the findings, for people.
"""
