"""What pending revisions would do to a busy database: measured in a scratch database, not read from the text.

- `facts`: what is known of a statement and of a revision.
- `verdict`: a revision's facts in one word.
- `recorder`: looks at locks, files and scans before and after each statement.
- `looking_on`: the sessions that see what a statement does which no transaction can hold.
- `filling`: rows in each table, so that revisions that work through rows have some.
- `bounds`: whether a statement finds the rows that it changes by constants, or goes through a table.
- `measuring`: runs revisions with a recorder.
- `triggers`: those that the database at hand has and no revision made.
- `planning`: the pending revisions of a database, and how many rows their tables have there.
- `table`: the plan, for people.
"""
