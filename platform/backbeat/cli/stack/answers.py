"""Ask a web page of ours whether it is there."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable

# Addresses of this machine are never asked through a proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str, timeout: float = 5.0) -> bool:
    """Whether a GET, redirects followed, ends in a page."""
    try:
        with _OPENER.open(url, timeout=timeout) as response:
            return bool(response.status == 200 and response.read(1))
    except (urllib.error.URLError, OSError):
        return False


def wait_for(url: str, within: float, unless: Callable[[], bool]) -> float | None:
    """Seconds until the page was there; None when `within` is over or `unless` says that nobody waits any more."""
    began = time.monotonic()
    while time.monotonic() - began < within and not unless():
        if answers(url):
            return time.monotonic() - began
        time.sleep(0.1)
    return None
