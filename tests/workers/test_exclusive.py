"""One process at a time works; another takes over when it ends or loses its lock."""

from __future__ import annotations

from domain.coordination.memory import MemoryLocks
from workers.exclusive import LOOK_S, Exclusive


class Part:
    """Work that counts its steps."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self) -> float:
        self.steps += 1
        return 0.0


def test_while_one_works_the_other_stands_by() -> None:
    locks, ours, theirs = MemoryLocks(), Part(), Part()
    one, other = Exclusive(locks, "part", ours), Exclusive(locks, "part", theirs)
    assert [one(), other(), one()] == [0.0, LOOK_S, 0.0]
    assert (ours.steps, theirs.steps) == (2, 0)


def test_whoever_stands_by_takes_over_once_the_lock_is_given_up() -> None:
    locks, ours, theirs = MemoryLocks(), Part(), Part()
    one, other = Exclusive(locks, "part", ours), Exclusive(locks, "part", theirs)
    one()
    one.release()
    assert other() == 0.0
    assert one() == LOOK_S
    assert (ours.steps, theirs.steps) == (1, 1)


def test_a_lost_lock_is_asked_for_again_before_the_next_step() -> None:
    locks, part = MemoryLocks(), Part()
    one = Exclusive(locks, "part", part)
    one()
    locks.close()
    stranger = locks.take("part")
    assert stranger is not None
    assert one() == LOOK_S
    assert part.steps == 1
    stranger.release()
    assert one() == 0.0


def test_different_parts_are_no_concern_of_each_other() -> None:
    locks, part = MemoryLocks(), Part()
    assert Exclusive(locks, "seal", part)() == Exclusive(locks, "sweep", part)() == 0.0


def test_giving_up_twice_does_no_harm() -> None:
    exclusive = Exclusive(MemoryLocks(), "part", Part())
    exclusive()
    exclusive.release()
    exclusive.release()
