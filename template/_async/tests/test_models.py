"""What the models promise, on a real database."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Authentication, User


async def add_user(async_session: AsyncSession) -> User:
    user = User(
        first_name="Ada",
        email="ada@example.com",
        authentications=[Authentication(type="local", identifier="ada@example.com", data={"since": 1843})],
    )
    async_session.add(user)
    await async_session.commit()
    return user


async def test_a_user_and_a_sign_in_know_each_other(async_session: AsyncSession) -> None:
    user = await add_user(async_session)
    await async_session.refresh(user, ["authentications"])
    [sign_in] = user.authentications
    assert sign_in.user is user
    assert sign_in.data == {"since": 1843}


async def test_deleting_a_user_deletes_the_sign_ins(async_session: AsyncSession) -> None:
    await async_session.delete(await add_user(async_session))
    await async_session.commit()
    assert await async_session.scalar(select(func.count()).select_from(Authentication)) == 0


async def test_the_database_deletes_the_sign_ins_by_itself(async_session: AsyncSession) -> None:
    await add_user(async_session)
    await async_session.execute(text("delete from users"))
    assert await async_session.scalar(select(func.count()).select_from(Authentication)) == 0


async def test_created_at_is_filled_and_updated_at_follows_a_change(async_session: AsyncSession) -> None:
    user = await add_user(async_session)
    assert user.created_at.tzinfo is not None
    assert abs(datetime.now(UTC) - user.created_at) < timedelta(minutes=1)
    assert user.updated_at is None
    user.last_name = "Lovelace"
    await async_session.commit()
    assert user.updated_at is not None
    assert user.updated_at >= user.created_at


async def test_what_a_test_commits_the_next_one_does_not_see(async_session: AsyncSession) -> None:
    assert await async_session.scalar(select(func.count()).select_from(User)) == 0
