from argon2 import PasswordHasher
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import seeds
from app.models import Authentication, User


async def test_seeds_twice_are_seeds_once(async_session: AsyncSession) -> None:
    assert await seeds.load(async_session) == len(seeds.PEOPLE)
    assert await seeds.load(async_session) == 0
    assert await async_session.scalar(select(func.count()).select_from(User)) == len(seeds.PEOPLE)


async def test_the_database_holds_hashes_only(async_session: AsyncSession) -> None:
    await seeds.load(async_session)
    passwords = set(await async_session.scalars(select(Authentication.password)))
    assert passwords
    for password in passwords:
        assert password
        assert seeds.PASSWORD not in password
        assert PasswordHasher().verify(password, seeds.PASSWORD)
