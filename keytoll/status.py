"""Where everything stands, for `keytoll status`: one look over all stores and processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from domain.eventlog.feed import FeedUnavailable
from domain.events.base import JsonObject
from keytoll.comparison import last_comparison
from keytoll.distribution import Distribution, distribution
from keytoll.wiring import Stores
from projections.projected import Projected
from projections.queries.health import health
from projections.replay import BEGINNING
from projections.standing import StorePlace, standing


def places_of(
    stores: Stores, projected: Projected | None, distributed: Distribution | None
) -> Sequence[StorePlace]:
    """How far the events of each store have come. Raises ProjectionUnavailable,
    StoreUnavailable."""
    relayed = {} if distributed is None else distributed.relayed
    reached = {} if projected is None else projected.reached()
    places = []
    for chain in stores.log.chains():
        tables = reached.get(chain.written.store_id)
        for store in chain.stores:
            # Tables that hold anything of the written store hold all of those before it.
            whole = store.head() if tables else tables
            places.append(
                StorePlace(
                    store_id=store.store_id,
                    events=store.head(),
                    projected=tables if store is chain.written else whole,
                    relayed=relayed.get(store.store_id),
                )
            )
    return places


def status_of(stores: Stores) -> JsonObject:
    """Of the whole installation, as of now. What cannot be asked is None.

    Raises ProjectionUnavailable, StoreUnavailable.
    """
    projector = stores.projections.projector()
    if not projector.started:
        projector.start()
    answer = standing(
        log=stores.log,
        projected=projector,
        health=health(projector.store, since=BEGINNING),
        register=stores.register,
        book=stores.books.current,
    ).as_json()
    try:
        distributed = distribution(stores)
    except FeedUnavailable:
        distributed = None
    return {
        **answer,
        "stores": [asdict(place) for place in places_of(stores, projector, distributed)],
        "consumer_lag": None if distributed is None else distributed.consumer_lag,
        "alive_processes": len(stores.leases.alive()),
        "last_drift": last_comparison(stores),
    }
