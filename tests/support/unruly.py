"""A task whose preprocessing misbehaves in the way that the payload names, as any library may."""

import ctypes
import os
import time
from collections.abc import Sequence

from models.base import Features
from tests.support.tasks import Letters


class Unruly(Letters):
    """Read ASCII text; some words are commands."""

    name = "unruly"

    def preprocess(self, payload: bytes) -> Features:
        match payload:
            case b"sleep":
                time.sleep(1e6)
            case b"hold the lock":  # a native call that never releases the interpreter's lock
                ctypes.PyDLL(None).sleep(1_000_000)
            case b"exit":
                os._exit(3)
            case b"allocate":
                blocks = []
                while True:
                    blocks.append(bytearray(10_000_000))
            case b"doze":
                time.sleep(0.05)
            case b"nap":
                time.sleep(0.4)
        return super().preprocess(payload)

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        if b"exit" in chunks:
            os._exit(3)
        if b"sleep" in chunks:
            time.sleep(1e6)
        return super().assemble(chunks)
