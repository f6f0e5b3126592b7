"""Rows for development: `make db-seed`. Loading them twice changes nothing."""

import sys

from argon2 import PasswordHasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database import session
from app.models import Authentication, User
from app.settings import app_env

# For a developer's own machine; the database holds hashes only.
PASSWORD = "correct horse battery staple"  # noqa: S105
PEOPLE = [("Ada", "Lovelace"), ("Grace", "Hopper"), ("Edgar", "Codd")]


def load(db: Session) -> int:
    """Add the users that are missing, each with a local sign-in.

    Returns:
        How many were added.
    """
    people = {f"{first}@example.com".lower(): (first, last) for first, last in PEOPLE}
    there = set(db.scalars(select(User.email).where(User.email.in_(people))))
    missing = [email for email in people if email not in there]
    # One for all: hashing takes its time on purpose.
    password = PasswordHasher().hash(PASSWORD) if missing else None
    for email in missing:
        first_name, last_name = people[email]
        sign_in = Authentication(type="local", identifier=email, password=password)
        db.add(User(first_name=first_name, last_name=last_name, email=email, authentications=[sign_in]))
    return len(missing)


def main() -> None:
    """Load the seeds into the application's database."""
    if app_env() == "production":
        sys.exit("Seeds are rows for development: they are not loaded with APP_ENV=production.")
    with session() as db:
        added = load(db)
    print(f"Seeds: {added} users added, {len(PEOPLE) - added} were there.")


if __name__ == "__main__":
    main()
