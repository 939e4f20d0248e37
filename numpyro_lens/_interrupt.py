"""Ctrl-C in a program: at once while there is nothing to keep, as an exception afterwards."""

import os
import signal
import socket
import threading
from typing import Any, NoReturn

_keeping = threading.Event()


def leave_when_interrupted() -> None:
    """From now on Ctrl-C ends the program with 130, whatever it is doing.

    Imports and compilations do not return to Python for seconds, in which an exception would wait,
    and an import that it breaks off may swallow it. So a thread waits for the signal.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, _interrupted)
    # the thread holds both ends: the signal would find the other closed
    threading.Thread(target=_wait, args=(reader, writer), daemon=True).start()


def keep_when_interrupted() -> None:
    """From now on Ctrl-C is a `KeyboardInterrupt` again: there is something to keep."""
    _keeping.set()


def _interrupted(_number: int, _frame: Any) -> None:
    if not _keeping.is_set():
        _leave()
    raise KeyboardInterrupt


def _wait(reader: socket.socket, _writer: socket.socket) -> None:
    while numbers := reader.recv(64):
        if signal.SIGINT in numbers and not _keeping.is_set():
            _leave()


def _leave() -> NoReturn:
    os.write(2, b"\nnumpyro-lens: interrupted before a stage was done, so nothing new was kept\n")
    os._exit(130)
