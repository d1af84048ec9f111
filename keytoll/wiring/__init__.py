"""Where ports get their adapters: nothing else in the program names a concrete store.

`files.py` and `databases.py` open what is true, one for each place where it can lie; `tables.py`
opens what is made of it. `stores.py` puts them together.
"""

from keytoll.wiring.files import EVENTS_FILE, LABELS_FILE, VAULT_FILE
from keytoll.wiring.stores import Stores, kept_checkpoints, open_stores

__all__ = [
    "EVENTS_FILE",
    "LABELS_FILE",
    "VAULT_FILE",
    "Stores",
    "kept_checkpoints",
    "open_stores",
]
