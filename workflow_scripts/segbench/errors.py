"""The errors that a person can mend, and how a script shows them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable


class InputError(Exception):
    """Input that a person gave is wrong: the message says what, where, and what would be right."""


class Unsupported(Exception):
    """This hardware, driver, package or graph cannot do what the variant asks: the row's reason."""


class Failed(Exception):
    """The engine gave up while doing it (out of memory, not-a-number, …): the row's reason."""


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Run a script's `main`; an `InputError` becomes its bare message on stderr and exit status 2."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    return run
