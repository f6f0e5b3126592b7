"""`plinth adopt`: what an existing project has, and what it would take to go on with Plinth.

- `env_file`: what `env.py` does, and from which template it comes.
- `rewriting`: what it becomes, as text.
- `source_file`: reads and changes a file with its line ends.
- `seeing`: runs it, in order to know what it says.
- `origins`: differences between database, revisions and models, and which of the three differs.
- `undoing`: the SQL that undoes what somebody has changed by hand.
- `baseline`: a first revision that makes what no revision makes, proved.
- `adoption`: all of it together.
- `report`: what is found, for people.
"""
