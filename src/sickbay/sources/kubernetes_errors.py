"""What an error of the Kubernetes API means: a right that is missing, a wait, an answer that is none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sickbay.errors import SourceError, SourceForbidden, SourceGarbled, SourceTimeout

T = TypeVar("T")
ROLE = "docs/kubernetes-role.yaml grants it"
TRIES, LONGEST_WAIT = 4, 3.0
"""Times that a request is sent while the server says 429, and the longest pause in seconds between two."""
MISSING = object()


def asked(what: str, ask: Callable[[], T], *, absent: Any = MISSING, absent_codes: tuple[int, ...] = (404,)) -> T:
    """Return what ``ask`` returns; a server that is busy (429) is asked again when it says.

    ``absent`` is returned where the server says that there is none. Raises SourceForbidden, SourceTimeout,
    SourceGarbled or SourceError, in words.
    """
    import httpx2
    import msgspec

    for tried in range(1, TRIES + 1):
        try:
            return ask()
        except httpx2.HTTPStatusError as error:
            code, said = error.response.status_code if error.response is not None else 0, _message(error)
            if code in absent_codes and absent is not MISSING:
                return absent  # type: ignore[no-any-return]
            if code == 429 and tried < TRIES:
                time.sleep(_pause(error, tried))
                continue
            raise _meaning(what, code, said) from None
        except httpx2.TimeoutException:
            raise SourceTimeout(f"the Kubernetes API did not answer for {what}") from None
        except httpx2.HTTPError as error:
            raise SourceError(f"unreachable: the Kubernetes API, for {what}: {_why(error)}") from None
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
            raise SourceGarbled(
                f"the Kubernetes API answered for {what} with something else: {str(error)[:160]}"
            ) from None
    raise SourceTimeout(f"the Kubernetes API is busy: for {what} it said 429 {TRIES} times")


def _meaning(what: str, code: int, said: str) -> SourceError:
    if code == 401:
        return SourceForbidden("the Kubernetes API does not know this login (401); renew the token or kubeconfig")
    if code == 403:
        return SourceForbidden(f"the Kubernetes API refuses {what} (403): {said}; {ROLE}")
    if code == 404:
        return SourceError(f"no data: the Kubernetes API has no {what} (404)")
    if code == 410:
        return SourceError(f"unreachable: the pages of {what} became too old while they were read (410)")
    if code == 429:
        return SourceTimeout(f"the Kubernetes API is busy: for {what} it said 429 {TRIES} times")
    if 300 <= code < 400:
        return SourceForbidden(f"the Kubernetes API sends to another page ({code}), perhaps a login")
    return SourceError(f"unreachable: the Kubernetes API answered {code} for {what}: {said}")


def _message(error: Any) -> str:
    """Return the message of the Status object in the answer, in one line; empty where it is something else."""
    try:
        body = json.loads(error.response.text)
        return " ".join(str(body.get("message", "")).split())[:240]
    except (ValueError, AttributeError, RuntimeError):
        return ""


def _pause(error: Any, tried: int) -> float:
    """Return seconds to wait: what the server asks for, bounded, else a growing pause."""
    given = error.response.headers.get("Retry-After", "")
    wanted = float(given) if given.isdigit() else 0.2 * 2**tried
    return min(LONGEST_WAIT, max(0.05, wanted))


def _why(error: BaseException) -> str:
    """Return in a word what stands in the way; the reason stands somewhere in the chain of causes."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ConnectionRefusedError):
            return "connection refused"
        found = found.__cause__ or found.__context__
    return str(error)[:160] or type(error).__name__
