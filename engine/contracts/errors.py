"""As many exception types as there are reactions.

Every message names the field or file at fault and the fix. Secrets never enter a message.
"""

from __future__ import annotations


class KeelError(Exception):
    """Anything Keel raises on purpose. `exit_code` is what the CLI returns (architecture §9)."""

    exit_code = 1


class Retryable(KeelError):
    """The same call may succeed later; nothing was changed. Reaction: wait and retry."""

    exit_code = 4


class Refused(KeelError):
    """A limit, bound or gate said no. Reaction: tell the person; do not retry unchanged."""

    exit_code = 3


class Unknown(KeelError):
    """The outcome of a request is not known. Reaction: keep capital reserved, ask the venue."""


class Fatal(KeelError):
    """Going on would be unsafe. Reaction: stop, name the damage and the fix."""


class BadInput(Refused):
    """Input that cannot be used: settings, parameters, data files. Names the field and the fix."""

    exit_code = 2


class BadData(BadInput):
    """A data file that cannot be read or trusted as a whole (single bad rows are quarantined instead)."""

    exit_code = 1


class DamagedJournal(Fatal):
    """A journal that is damaged other than by a torn tail. Names the segment and the byte offset."""
