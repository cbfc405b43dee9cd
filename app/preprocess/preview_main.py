"""A process that draws pages of files as pictures, one at a time.

`python -m app.preprocess.preview_main MEMORY_MIB SECONDS FD`, started by `app.services.page_previews`. To
`(payload, page, max_pixels)` it answers `("preview", jpeg, width, height, pages)` or `("refused", code, reason)`.
"""

import os
import signal
import socket
import sys
from contextlib import suppress

from app.preprocess.isolation.channel import ChannelClosed, Message, MessageChannel
from app.preprocess.isolation.limits import limit_memory
from models.base import Rejected
from models.vision.previews import draw_preview


def answer(payload: bytes, page: int, max_pixels: int) -> Message:
    """Return the answer to a message."""
    try:
        return "preview", *draw_preview(payload, page, max_pixels)
    except Rejected as error:
        return "refused", error.code, str(error)
    except MemoryError:
        return "refused", "out_of_memory", "drawing this page exceeds the memory limit"
    except Exception as error:  # a decoder fed with damaged data raises almost anything
        return "refused", "broken", f"{type(error).__name__}: {error}"


def main() -> None:
    """Answer until the other end is closed."""
    memory_mib, seconds, file_descriptor = map(int, sys.argv[1:])
    channel = MessageChannel(socket.socket(fileno=file_descriptor))
    limit_memory(memory_mib)
    with suppress(ChannelClosed):
        channel.send(("ready",))
        while (message := channel.receive()) is not None:
            signal.alarm(seconds)  # in case nobody is there any more to kill this process
            result = answer(*message)
            signal.alarm(0)
            channel.send(result)
    os._exit(0)


if __name__ == "__main__":
    main()
