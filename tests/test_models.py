"""What the models promise, on a real database."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.models import Authentication, User


def add_user(session: Session) -> User:
    user = User(
        first_name="Ada",
        email="ada@example.com",
        authentications=[Authentication(type="local", identifier="ada@example.com", data={"since": 1843})],
    )
    session.add(user)
    session.commit()
    return user


def test_a_user_and_a_sign_in_know_each_other(session: Session) -> None:
    user = add_user(session)
    session.expire_all()
    [sign_in] = user.authentications
    assert sign_in.user is user
    assert sign_in.data == {"since": 1843}


def test_deleting_a_user_deletes_the_sign_ins(session: Session) -> None:
    session.delete(add_user(session))
    session.commit()
    assert session.scalar(select(func.count()).select_from(Authentication)) == 0


def test_the_database_deletes_the_sign_ins_by_itself(session: Session) -> None:
    add_user(session)
    session.execute(text("delete from users"))
    assert session.scalar(select(func.count()).select_from(Authentication)) == 0


def test_created_at_is_filled_and_updated_at_follows_a_change(session: Session) -> None:
    user = add_user(session)
    assert user.created_at.tzinfo is not None
    assert abs(datetime.now(UTC) - user.created_at) < timedelta(minutes=1)
    assert user.updated_at is None
    user.last_name = "Lovelace"
    session.commit()
    assert user.updated_at is not None
    assert user.updated_at >= user.created_at


def test_what_a_test_commits_the_next_one_does_not_see(session: Session) -> None:
    assert session.scalar(select(func.count()).select_from(User)) == 0
