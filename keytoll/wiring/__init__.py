"""Where ports get their adapters: nothing else in the program names a concrete store.

`files.py` and `databases.py` open what is true, one for each place where it can lie; `tables.py`
opens what is made of it, `feeds.py` the way between them over Kafka. `stores.py` puts them
together, and `jobs.py` says what is done with them by itself.
"""

from keytoll.wiring.files import EVENTS_FILE, LABELS_FILE, VAULT_FILE
from keytoll.wiring.stores import Stores, first_start, kept_checkpoints, open_existing, open_stores

__all__ = [
    "EVENTS_FILE",
    "LABELS_FILE",
    "VAULT_FILE",
    "Stores",
    "first_start",
    "kept_checkpoints",
    "open_existing",
    "open_stores",
]
