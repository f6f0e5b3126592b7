# Each target calls one program. `make help` lists them.

PYTHON ?= python3
PY := .venv/bin/python

.DEFAULT_GOAL := help
.SUFFIXES:

##@ Setting up

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

.PHONY: install
install: ## make .venv from requirements-dev.lock, if it isn't up to date
	@if [ -f "$(PYTHON)" ]; then exec "$(PYTHON)" -I install.py; else exec $(PYTHON) -I install.py; fi

.PHONY: lock
lock: ## pin the dependencies of pyproject.toml anew (needs uv)
	uv pip compile pyproject.toml --group app --quiet --universal --generate-hashes --no-header --no-emit-index-url -o requirements.lock
	uv pip compile pyproject.toml --group dev --quiet --universal --generate-hashes --no-header --no-emit-index-url -o requirements-dev.lock

##@ Checking

.PHONY: test
test: install ## run the tests; a part of them with T=tests/test_models.py
	@$(PY) -m pytest $(or $(T),-n auto --maxprocesses 8)

.PHONY: test-slow
test-slow: install ## run the tests that take minutes
	@$(PY) -m pytest -m slow $(or $(T),-n auto --maxprocesses 8)

.PHONY: test-before
test-before: install ## run the tests of REF=origin/main on the schema that comes before the new code
	@$(PY) -m plinth test-before $(or $(REF),origin/main) -- $(T)

.PHONY: bench
bench: install ## compare with plain Alembic and others; a part of it with B=stalls, ROWS=100000 rows
	@$(PY) -m benchmarks $(B) $(if $(ROWS),--rows=$(ROWS))

CHECKS := format-check lint typecheck db-diagram db-check db-lint test

.PHONY: check
check: install ## all that CI checks but the slow tests; it goes on after a failure
	@failed=; for each in $(CHECKS); do $(MAKE) --no-print-directory -o install $$each || failed="$$failed $$each"; done; \
	test -z "$$failed" || { echo "make check failed in:$$failed" >&2; exit 1; }

.PHONY: format
format: install ## format the code
	@$(PY) -m ruff format .

.PHONY: format-check
format-check: install ## see that the code is formatted
	@$(PY) -m ruff format --check .

.PHONY: lint
lint: install ## look for mistakes
	@$(PY) -m ruff check .

.PHONY: typecheck
typecheck: install ## check the types, strictly
	@$(PY) -m mypy

.PHONY: diagram-check
diagram-check: install ## see that docs/schema.md shows the models as they are
	@$(PY) -m paracelsus.cli inject docs/schema.md --check || { echo "docs/schema.md is stale: make db-diagram" >&2; exit 1; }

##@ The database (DATABASE_URL's, or else the local server's)

.PHONY: db-reset
db-reset: install ## drop, create, migrate and seed the development database
	@$(PY) -m plinth reset

.PHONY: db-start
db-start: install ## start the local PostgreSQL server
	@$(PY) -m plinth start

.PHONY: db-stop
db-stop: install ## stop the local PostgreSQL server; the data stays
	@$(PY) -m plinth stop

.PHONY: db-url
db-url: install ## print the database's URL: psql "$(make -s db-url)"
	@$(PY) -m plinth url

.PHONY: db-shell
db-shell: install ## open psql on the database
	@$(PY) -m plinth shell

.PHONY: db-seed
db-seed: install ## load the development rows
	@$(PY) -m plinth seed

.PHONY: db-upgrade
db-upgrade: install ## apply the pending revisions
	@$(PY) -m alembic upgrade head

.PHONY: db-upgrade-before
db-upgrade-before: install ## apply those that come before the code, and leave out what comes after it
	@$(PY) -m plinth upgrade --before

.PHONY: db-upgrade-after
db-upgrade-after: install ## apply those too that come after the code: no older code runs any more
	@$(PY) -m plinth upgrade --after

.PHONY: db-rollback
db-rollback: install ## undo the last batch: the revisions that one upgrade applied
	@$(PY) -m plinth rollback

.PHONY: db-redo
db-redo: install ## undo the last change and apply it again
	@$(PY) -m plinth redo

.PHONY: db-status
db-status: install ## show what is applied, pending and wrong
	@$(PY) -m plinth status

.PHONY: db-check
db-check: install ## try all revisions, up and down, and compare them with models and database
	@$(PY) -m plinth check

.PHONY: db-plan
db-plan: install ## show what the pending revisions would lock, read and rewrite
	@$(PY) -m plinth plan

.PHONY: db-lint
db-lint: install ## refuse revisions that block a busy database or lose data
	@$(PY) -m plinth lint

.PHONY: db-revision
db-revision: install ## write a revision from the models: make db-revision m="add users nickname"
	@$(PY) -m alembic revision --autogenerate $(if $(value m),-m '$(subst ','\'',$(value m))')

.PHONY: db-diagram
db-diagram: install ## draw the models in docs/schema.md; make check does it too
	@$(PY) -m paracelsus.cli inject docs/schema.md --check > /dev/null 2>&1 || { $(PY) -m paracelsus.cli inject docs/schema.md && echo "docs/schema.md is drawn anew: commit it with the models."; }
