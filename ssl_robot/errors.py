"""The exceptions a user is meant to read."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one sentence that names the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


class KilledError(InputError):
    """Work that ended its process each time it was tried; whatever else there was to do is done."""
