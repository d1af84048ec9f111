"""Where everything stands, for `keytoll status`: one look over all stores and processes."""

from __future__ import annotations

from domain.eventlog.feed import FeedUnavailable
from domain.eventlog.port import stores_of
from domain.events.base import JsonObject
from keytoll.comparison import last_comparison
from keytoll.distribution import distribution
from keytoll.wiring import Stores
from projections.projected import reach_of
from projections.queries.health import health
from projections.replay import BEGINNING
from projections.standing import standing


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
    relayed = {} if distributed is None else distributed.relayed
    return {
        **answer,
        "stores": [
            {
                "store_id": store.store_id,
                "events": store.head(),
                "projected": reach_of(projector.store, store.store_id).dense,
                "relayed": relayed.get(store.store_id),
            }
            for store in stores_of(stores.log)
        ],
        "consumer_lag": None if distributed is None else distributed.consumer_lag,
        "alive_processes": len(stores.leases.alive()),
        "last_drift": last_comparison(stores),
    }
