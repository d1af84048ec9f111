"""The root of every error that a broken rule of ours raises.

Each rule has its own subclass, declared beside the rule. `api/errors.py` is the one table from
these classes to HTTP statuses and public messages; commands print `str(error)` and exit with 2.
"""


class DomainError(Exception):
    """A rule was broken. The message is safe to show: it never holds a secret."""


class BadValue(DomainError):
    """A value from outside cannot be what it has to be. `param` names the field, if it has one."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class UnsafeSetup(DomainError):
    """Starting would break a promise (two owners of one folder, a missing master key, …)."""
