"""Asking for credentials from a thread, within a deadline.

Strategy: credentials that are given are there. A callable may wait for a vault and can not be
interrupted, so a daemon thread asks it while the caller waits until its deadline; one that hangs is
left behind, as a resolver that hangs is.
"""

from __future__ import annotations

import threading
from inspect import isawaitable, iscoroutine
from time import monotonic

from cenote.connection import failures
from cenote.connection.credentials import AnyCredentials, Credentials, CredentialsSource, checked
from cenote.errors import ConfigurationError


def ask(
    credentials: AnyCredentials | None, address: object, began: float, deadline: float
) -> Credentials | None:
    """Return the credentials of the moment.

    Raises:
        OperationTimeout: The deadline passed.
        ConfigurationError: What was asked returned something else.
        Exception: What the callable raised, as it is.
    """
    if credentials is None or isinstance(credentials, Credentials):
        return credentials
    answers: list[object] = []
    refusals: list[BaseException] = []
    thread = threading.Thread(
        target=_call, args=(credentials, answers, refusals), name="cenote-credentials", daemon=True
    )
    thread.start()
    thread.join(max(0.0, deadline - monotonic()))
    if refusals:
        raise refusals[0]
    if not answers:
        raise failures.connect_timed_out(address, monotonic() - began, failures.NO_CREDENTIALS)
    if iscoroutine(answers[0]):
        answers[0].close()
    if isawaitable(answers[0]):
        raise ConfigurationError("credentials is a coroutine function: use AsyncClient")
    return checked(answers[0])


def _call(source: CredentialsSource, answers: list[object], refusals: list[BaseException]) -> None:
    try:
        answers.append(source())
    except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
        refusals.append(error)
