"""Rows for development: `make db-seed`. Loading them twice changes nothing."""

import asyncio
import sys

from argon2 import PasswordHasher
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import engine, session
from app.models import Authentication, User
from app.settings import app_env

# For a developer's own machine; the database holds hashes only.
PASSWORD = "correct horse battery staple"  # noqa: S105
PEOPLE = [("Ada", "Lovelace"), ("Grace", "Hopper"), ("Edgar", "Codd")]


async def load(db: AsyncSession) -> int:
    """Add the users that are missing, each with a local sign-in.

    Returns:
        How many were added.
    """
    added = 0
    for first_name, last_name in PEOPLE:
        email = f"{first_name}@example.com".lower()
        if await db.scalar(select(User).where(User.email == email)):
            continue
        sign_in = Authentication(type="local", identifier=email, password=PasswordHasher().hash(PASSWORD))
        db.add(User(first_name=first_name, last_name=last_name, email=email, authentications=[sign_in]))
        added += 1
    return added


async def main() -> None:
    """Load the seeds into the application's database."""
    if app_env() == "production":
        sys.exit("Seeds are rows for development: they are not loaded with APP_ENV=production.")
    async with session() as db:
        added = await load(db)
    await engine().dispose()
    print(f"Seeds: {added} users added, {len(PEOPLE) - added} were there.")


if __name__ == "__main__":
    asyncio.run(main())
