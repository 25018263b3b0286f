"""The time in ids."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from chassis.moments import EPOCH, first_id_at, moment_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FIRST_OF_A_MILLISECOND = UUID("01a1fdfa-4600-7000-0000-000000000000")
LAST_FRACTION = UUID(int=FIRST_OF_A_MILLISECOND.int | (1 << 76) - 1)


def test_the_first_id_of_a_moment_has_its_time() -> None:
    """In microseconds, whatever the time zone in which the moment is given."""
    assert first_id_at(NOON) == FIRST_OF_A_MILLISECOND
    for microseconds in range(0, 2000, 7):
        moment = NOON + timedelta(microseconds=microseconds)
        assert moment_of(first_id_at(moment)) == moment
        assert first_id_at(moment.astimezone(timezone(timedelta(hours=5)))) == first_id_at(moment)


def test_the_rest_of_a_millisecond_is_its_fraction() -> None:
    """The last id of a millisecond lies in its last microsecond."""
    assert moment_of(LAST_FRACTION) == NOON + timedelta(microseconds=999)


def test_what_follows_a_moment_includes_the_id_that_it_came_from() -> None:
    """The moment of an id leads back to that id, or to one of the same microsecond."""
    for fraction in range(4096):  # of a millisecond
        made = UUID(int=FIRST_OF_A_MILLISECOND.int | fraction << 64)
        first = first_id_at(moment_of(made))
        assert first <= made
        assert moment_of(first) == moment_of(made)


def test_moments_are_ordered_as_their_ids() -> None:
    """A later moment never has a smaller first id."""
    moments = [NOON + timedelta(microseconds=each) for each in range(3000)]
    assert sorted(first_id_at(moment) for moment in moments) == [first_id_at(moment) for moment in moments]


def test_everything_is_since_the_epoch() -> None:
    """No id is older, so earlier moments mean the same."""
    assert first_id_at(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))) == first_id_at(EPOCH)
    assert moment_of(first_id_at(EPOCH)) == EPOCH
