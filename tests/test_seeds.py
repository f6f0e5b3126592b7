from argon2 import PasswordHasher
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import seeds
from app.models import Authentication, User


def test_seeds_twice_are_seeds_once(session: Session) -> None:
    assert seeds.load(session) == len(seeds.PEOPLE)
    assert seeds.load(session) == 0
    assert session.scalar(select(func.count()).select_from(User)) == len(seeds.PEOPLE)


def test_the_database_holds_hashes_only(session: Session) -> None:
    seeds.load(session)
    passwords = set(session.scalars(select(Authentication.password)))
    assert passwords
    for password in passwords:
        assert password
        assert seeds.PASSWORD not in password
        assert PasswordHasher().verify(password, seeds.PASSWORD)
