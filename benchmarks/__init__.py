"""Side by side with plain Alembic and other programs, ratios from one run: `make bench`.

- `cluster`: a PostgreSQL of the benchmark's own, with production's settings, gone afterwards.
- `projects`: a copy of the scaffold, and the project that `alembic init` makes.
- `peers`: the programs, installed when needed; `workload`: pending changes in the words of each.
- `results`: what came out, printed, and saved in `benchmarks/results`.
- `load`: an application at work (pgbench at a fixed rate), and what it felt.
- `changes`: what is changed in a busy table, as models say it and as plain Alembic writes it.
- `stalls`: how long the application waits while a table is changed.
- `autogenerate`: how long `alembic revision --autogenerate` and `alembic check` take.
- `reset`: `make db-reset` again.
- `apply`: many pending revisions, none pending, and eight at once.
- `growth`: time over the number of revisions and tables; `drawing` makes a picture of it.
"""
