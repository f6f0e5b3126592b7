# Runtime dependencies only: enough for the service and for `alembic upgrade head`.
#   docker build -t app .
#   docker run --rm -e APP_ENV=production -e DATABASE_URL=postgresql://… app alembic upgrade head
FROM python:3.13-slim
WORKDIR /srv/app
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
USER nobody
CMD ["alembic", "upgrade", "head"]
