"""API keys: form, checksum and secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.keys import ApiKey
from darkroom_contracts.api import Scope

KEY = ApiKey(Scope.CLIENT, "a1B2c3D4e5F6", "s" * 27)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_is_read_back_as_it_was_made(scope: Scope) -> None:
    """A key's text contains its scope and its public id."""
    key = ApiKey.generate(scope)
    text = key.reveal()
    assert text.startswith(f"dk_{scope}_{key.id}_")
    assert ApiKey.parse(text) == key


def test_no_two_keys_are_alike() -> None:
    """Two keys have different ids and different secrets."""
    keys = [ApiKey.generate(Scope.CLIENT) for _ in range(1000)]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 1000


@given(st.integers(0, len(KEY.reveal()) - 1), st.characters(categories=["L", "N"]))
def test_a_mistyped_key_is_told_from_its_checksum(position: int, character: str) -> None:
    """A key with a changed character is rejected by its checksum, without a database."""
    text = KEY.reveal()
    mistyped = text[:position] + character + text[position + 1 :]
    assert ApiKey.parse(mistyped) == (KEY if mistyped == text else None)


@pytest.mark.parametrize(
    "text", ["", "dk_", KEY.reveal()[:-1], KEY.reveal() + "0", " " + KEY.reveal(), KEY.reveal() + "\n"]
)
def test_what_has_another_form_is_no_key(text: str) -> None:
    """A text of another length, or with white space around it, is not a key."""
    assert ApiKey.parse(text) is None


def test_a_key_of_a_scope_that_does_not_exist_is_no_key() -> None:
    """A key with an unknown scope is rejected."""
    assert ApiKey.parse(KEY.reveal().replace("client", "wizard")) is None


def test_only_the_right_secret_matches_what_is_stored() -> None:
    """The stored hash matches its secret only, and does not contain it."""
    assert KEY.matches(KEY.secret_hash)
    assert not ApiKey(KEY.scope, KEY.id, "t" * 27).matches(KEY.secret_hash)
    assert KEY.secret.encode() not in KEY.secret_hash
    assert len(KEY.secret_hash) == 32
