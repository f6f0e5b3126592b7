# Runtime dependencies only: enough for the service and for `alembic upgrade head`.
#   docker build -t app .
#   docker run --rm -e APP_ENV=production -e DATABASE_URL=postgresql://… app alembic upgrade head
FROM python:3.13 AS packages
WORKDIR /srv/app
COPY install.py pyproject.toml requirements.lock ./
RUN python install.py requirements.lock

FROM python:3.13-slim
WORKDIR /srv/app
COPY --from=packages /srv/app/.venv .venv
COPY . .
ENV PATH=/srv/app/.venv/bin:$PATH
USER nobody
CMD ["alembic", "upgrade", "head"]
