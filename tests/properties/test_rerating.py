"""Laws of late rating: whatever comes in which order, each call ends at one price, once."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.events.codec import decode
from domain.usage import Usage
from pricing.book import Books, book_of
from projections.batch import Batcher
from projections.rows import COLUMNS, RequestState, fold
from tests.projections.world import START, World
from workers.rerate import decide

Json = dict[str, object]
UNITS = ("input", "output", "web_search_per_call")
MODELS = ("m1", "m2", "m3")
FEE, SIGN = (COLUMNS["request_lines"].index(name) for name in ("fee_usd", "sign"))


def entry(model: str, units: frozenset[str]) -> Json:
    """A row; every book that prices a unit of a model prices it alike."""
    prices = {unit: str(1 + MODELS.index(model) * 3 + UNITS.index(unit)) for unit in sorted(units)}
    said = {"provider": "openai", "model": model, "canonical": model}
    return {"id": f"{model}#{'-'.join(sorted(units))}", "prices": prices, **said}


rows = st.builds(
    entry,
    st.sampled_from(MODELS),
    st.frozensets(st.sampled_from(UNITS), min_size=1),
)
calls = st.lists(
    st.tuples(
        st.sampled_from(MODELS),
        st.fixed_dictionaries(
            {"input_tokens": st.integers(0, 10**6), "output_tokens": st.integers(0, 10**6)},
            optional={"web_search_calls": st.integers(0, 5)},
        ),
    ),
    min_size=1,
    max_size=5,
)


class Trial:
    """Calls under the first of some books, re-rated as the others come into force."""

    def __init__(self, given_rows: list[Json], given_calls: list[tuple[str, Usage]]) -> None:
        self.world = World()
        self.world.full_book = book_of(given_rows)
        self.world.books = Books(self.world.full_book)
        self.account = self.world.open_account("a")
        self.requests = [self._call(model, usage) for model, usage in given_calls]

    def _call(self, model: str, usage: Usage) -> UUID:
        first = self.world.full_book.prefix(0)
        request = self.world.routed(self.account, model=model, price_book=first.hash)
        self.world.reported(request, self.account, **usage)
        return request

    def adopt(self, size: int, *, times: int = 1) -> int:
        """A book comes into force and is walked through; how many calls were re-rated."""
        book, done = self.world.full_book.prefix(size), 0
        for _ in range(times):
            for request in self.requests:
                recorded = self.world.log.stream(request)
                event = decide(recorded, book.hash, self.world.books, overdue=START)
                if event is not None:
                    self.world.append(event, account=self.account)
                    done += 1
        return done

    def effective(self) -> list[Decimal | None]:
        """The fee of each call by its effective book."""
        return [self._fee(self.state(request)) for request in self.requests]

    def rated_once(self) -> list[Decimal | None]:
        """The fee of each call, had the last book been in force from the beginning."""
        last = self.world.full_book.hash
        return [self._fee(self.state(each)._replace(book=last)) for each in self.requests]

    def state(self, request: UUID) -> RequestState:
        state = fold((each, decode(each)) for each in self.world.log.stream(request))
        assert state is not None
        return state

    def _fee(self, state: RequestState) -> Decimal | None:
        rated = state.rated(self.world.books)
        return rated.fee.usd if rated and rated.fee else None

    def summed(self) -> Decimal:
        """The fees of all rows that all events give, taken back ones with their sign."""
        events = self.world.log.read(after=0, limit=10**6)
        batcher = Batcher(
            history=self.world.log.stream, books=self.world.books, bases={"store-1": 0}
        )
        lines = batcher.batch(events).rows["request_lines"]
        return sum((line[SIGN] * (line[FEE] or Decimal(0)) for line in lines), Decimal(0))  # type: ignore[operator]


@given(
    st.lists(rows, max_size=6), calls, st.lists(st.integers(0, 6), max_size=8), st.integers(1, 3)
)
def test_rows_add_up_to_the_price_of_the_effective_book(
    given_rows: list[Json],
    given_calls: list[tuple[str, Usage]],
    sizes: list[int],
    times: int,
) -> None:
    """Any books in any order, walked through any number of times, also back to an earlier one."""
    trial = Trial(given_rows, given_calls)
    for size in sizes:
        trial.adopt(min(size, len(given_rows)), times=times)
        assert trial.summed() == sum((fee or Decimal(0) for fee in trial.effective()), Decimal(0))
        assert trial.adopt(min(size, len(given_rows))) == 0, "a second walk found something"


@given(st.permutations(MODELS), calls, st.lists(st.integers(0, 3), max_size=8))
def test_the_way_does_not_matter_when_each_model_gets_one_price(
    order: list[str], given_calls: list[tuple[str, Usage]], sizes: list[int]
) -> None:
    """However many books came between, the sum is that of rating once by the last one."""
    trial = Trial([entry(model, frozenset(UNITS)) for model in order], given_calls)
    for size in sorted(sizes):
        trial.adopt(size)
    trial.adopt(len(MODELS))
    last = trial.rated_once()
    assert trial.effective() == last
    assert trial.summed() == sum((fee or Decimal(0) for fee in last), Decimal(0))


@given(st.lists(rows, min_size=1, max_size=6), calls, st.lists(st.integers(1, 6), max_size=8))
def test_nothing_that_has_a_price_loses_or_changes_it(
    given_rows: list[Json], given_calls: list[tuple[str, Usage]], sizes: list[int]
) -> None:
    trial = Trial(given_rows, given_calls)
    before = trial.effective()
    for size in sizes:
        trial.adopt(min(size, len(given_rows)))
        after = trial.effective()
        for ours, theirs in zip(before, after, strict=True):
            assert ours is None or (theirs is not None and theirs >= ours)
        before = after
