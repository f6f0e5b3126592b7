"""In what database, revisions and models differ, and which of the three is alone with what it says."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from plinth.catalog import Difference
from plinth.check import comes_along, is_others

BY_HAND, CHAIN, MODELS, ALL = "by hand", "chain", "models", "all three"

_WORDS = {
    BY_HAND: "made by hand, the database alone differs",
    CHAIN: "the revisions alone differ, database and models agree",
    MODELS: "the models alone differ, a revision is to be written",
    ALL: "database, revisions and models are three different things",
}
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class Found:
    """A difference.

    Args:
        kind: of the object.
        name: of the object.
        attribute: what of it differs; "" when it is missing or too much.
        origin: which of the three differs from the others: "by hand" (the database), "chain" or "models".
        message: what is the matter.
    """

    kind: str
    name: str
    attribute: str
    origin: str
    message: str


@dataclass(frozen=True)
class Pictures:
    """How the three differ, pair by pair.

    Args:
        chain_to_models: what the revisions make, and what the models want.
        database_to_models: what is there, and what the models want; None where the database hasn't all
            revisions, so that it needn't be so yet.
        database_to_chain: what is there, and what its revisions make; None where there is nothing.
    """

    chain_to_models: Sequence[Difference] = ()
    database_to_models: Sequence[Difference] | None = None
    database_to_chain: Sequence[Difference] | None = None


def with_origins(pictures: Pictures) -> tuple[list[Found], list[str]]:
    """Return the differences by their origins, and what is none of ours and left alone."""
    by_chain = _by_key(pictures.database_to_chain or ())
    chain_to_models = _by_key(pictures.chain_to_models)
    to_models = _by_key(pictures.database_to_models or ())
    found: list[Found] = []
    alone: list[str] = []
    keys = {*by_chain, *chain_to_models, *to_models}
    for key in sorted(keys):
        origin = _origin(
            key in by_chain,
            key in chain_to_models,
            key in to_models if pictures.database_to_models is not None else None,
        )
        if origin == CHAIN:
            difference = chain_to_models[key]
        else:
            difference = by_chain.get(key) or chain_to_models.get(key) or to_models[key]
        if comes_along(difference) or _is_said_by_its_column(difference, keys):
            continue
        if origin == BY_HAND and is_others(difference):
            alone.append(f"{difference.kind} {difference.name}")
        else:
            found.append(Found(*key, origin, f"{difference} ({_WORDS[origin]})"))
    return found, alone


def _origin(from_chain: bool, chain_to_models: bool, to_models: bool | None) -> str:
    """Return which of the three is alone; None is for a database that can't be compared with the models."""
    if to_models is not None and from_chain and chain_to_models:
        return ALL if to_models else CHAIN
    return BY_HAND if from_chain else MODELS


def _is_said_by_its_column(difference: Difference, keys: Collection[_Key]) -> bool:
    """Whether it is the constraint that PostgreSQL has for a column that refuses NULL."""
    found = difference.actual or difference.wanted
    if difference.kind != "constraint" or difference.attribute or found.type != "n":
        return False
    table = difference.name.removesuffix(f".{found.name}")
    return any(
        ("column", f"{table}.{column}", attribute) in keys
        for column in found.columns
        for attribute in ("", "not null")
    )


def _by_key(found: Iterable[Difference]) -> Mapping[_Key, Difference]:
    return {(each.kind, each.name, each.attribute): each for each in found}
