"""SIGTERM and SIGINT: the first asks the run to stop, the second ends it at once."""

import os
import signal
import socket
import sys
import threading

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """While it is entered, `name` is the signal that asked to stop, or None.

    Python runs its signal handlers in the main thread, which sits inside TensorFlow for a whole
    step. So a thread of our own reads the signals, from the socket where the interpreter notes
    them: the first is acknowledged and the second obeyed even in the midst of a step.
    """

    def __init__(self):
        self.name = None

    def __enter__(self):
        self.active = threading.current_thread() is threading.main_thread()
        if self.active:  # elsewhere Python has no signals
            self.reading, self.noting = socket.socketpair()
            self.noting.setblocking(False)
            self.old_fd = signal.set_wakeup_fd(self.noting.fileno(), warn_on_full_buffer=False)
            self.old = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
            self.thread = threading.Thread(target=self._watch, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.active:
            for number, handler in self.old.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self.old_fd)
            self.noting.close()
            self.thread.join()
            self.reading.close()

    def _watch(self):
        while noted := self.reading.recv(1):
            if noted[0] not in SIGNALS:
                continue
            if self.name is not None:
                os.write(sys.__stderr__.fileno(), b"second signal: ending at once\n")
                os._exit(128 + noted[0])
            self.name = signal.Signals(noted[0]).name
            message = f"{self.name}: stopping after this step; once more ends at once\n"
            os.write(sys.__stderr__.fileno(), message.encode())
