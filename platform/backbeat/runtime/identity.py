"""Who this process is: one name an incarnation, so that a restarted process is never taken for its predecessor."""

from __future__ import annotations

import os
import socket
from uuid import uuid4

INCARNATION = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"
"""Holder of leases. A pool's children are forked from their worker, so they share its incarnation, as they should."""
