"""Where the log of an installation lies, for reading it without opening anything else."""

from __future__ import annotations

from domain.eventlog.raw import Place
from keytoll.settings import Settings
from keytoll.wiring.files import EVENTS_FILE


def log_places(settings: Settings) -> tuple[Place, ...]:
    """The databases in their order, or the file."""
    databases = tuple(url.reveal() for url in settings.store)
    return databases or (settings.data / EVENTS_FILE,)
