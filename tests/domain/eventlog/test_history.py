"""Reading across a restore."""

from __future__ import annotations

from pathlib import Path

from domain.eventlog.history import ends_of, history
from domain.eventlog.sqlite import begin_new_store
from tests.domain.eventlog.filling import fill, opened


def test_history_is_every_store_in_order(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    for name, calls in (("st_1", 2), ("st_2", 0), ("st_3", 1)):
        if name != "st_1":
            begin_new_store(path, store_id=name)
        log = opened(path, store_id=name)
        fill(log, calls=calls)
        log.close()
    log = opened(path)

    def places(**limits: object) -> list[tuple[str, int]]:
        return [(row.store_id, row.seq) for row in history(log, **limits)]  # type: ignore[arg-type]

    first = [("st_1", seq) for seq in range(1, 7)]
    third = [("st_3", seq) for seq in range(1, 4)]
    assert places() == first + third
    assert places(streams={"store"}) == [("st_1", 3), ("st_1", 6), ("st_3", 3)]
    assert places(until={"st_1": 4, "st_3": 9}) == first[:4] + third
    assert places(until={"st_1": 4}, streams={"store"}) == [("st_1", 3)]
    assert places(until={}) == []
    assert ends_of(log) == {"st_1": 6, "st_2": 0, "st_3": 3}
    rows = history(log)
    fill(log, calls=1)
    assert len(list(rows)) == 9
    log.close()
