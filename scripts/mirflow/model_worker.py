"""The model worker: one process that keeps a loaded model, and runs one command at a time.

``python -m mirflow.model_worker SOCKET RUN READY_FD`` is started by ``scripts/warm.py --model``. Clients, security and
end are those of the warm worker (see there). Commands wait in a queue for one child, which lives on between them with
the model that it loaded (`mirflow.resident`). The worker itself holds no model: when the child crashes, the command
that it ran is lost and its client told so, and the next command gets a new child. A client that goes away while its
command runs takes the child with it, since nothing else stops native code.
"""

import array
import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque

from mirflow import resident
from mirflow.worker import Request, Worker, allow_files, begin, perform

FREED = 30.0  # seconds for a killed child to give its memory back before the next one loads a model


class ModelWorker(Worker):
    """Serves the commands of one run that need a model, one after another."""

    def __init__(self, path: str, run: str) -> None:
        super().__init__(path, run)
        self.waiting: deque[Request] = deque()
        self.child = 0
        self.channel: socket.socket | None = None

    def _start(self, request: Request) -> None:
        if len(request.descriptors) != 2:
            self._drop(request)
        elif request not in self.waiting:
            self.used = time.monotonic()
            self.waiting.append(request)
            self._next()

    def _next(self) -> None:
        """Give the child its next command, if it is free and there is one."""
        while self.waiting and not self.children:
            request = self.waiting.popleft()
            if request.connection not in self.requests:  # its client went away
                continue
            if not self.child and not self._fork():
                self._drop(request)
                continue
            descriptors = array.array("i", request.descriptors)
            try:
                self.channel.sendmsg([request.received[:4]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
                self.channel.sendall(request.received[4:])
            except OSError:  # it died idle: its end is noted, then the command is tried again
                self._lose()
                self.waiting.appendleft(request)
                continue
            request.child = self.child
            self.children[self.child] = request

    def _fork(self) -> bool:
        """Start the child that commands run in; return whether there was a process to be had."""
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            return False
        try:
            child = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return False
        if child == 0:
            status = 1
            try:
                self._detach()
                self._leave()
                ours.close()
                status = stay(theirs)
            finally:
                os._exit(status)
        theirs.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(child, child)
        self.child, self.channel = child, ours
        self.selector.register(ours, selectors.EVENT_READ, self._answered)
        return True

    def _answered(self) -> None:
        """Pass on the exit status of the command that ran."""
        try:
            answer = self.channel.recv(64)
        except OSError:
            answer = b""
        if not answer:  # the child is dead or dying
            self._lose()
        else:
            self._finish(self.children.pop(self.child, None), answer)
        self._next()

    def _finish(self, request: Request | None, answer: bytes) -> None:
        self.used = time.monotonic()
        if request is not None:
            with contextlib.suppress(OSError):  # the client may be gone
                request.connection.send(answer)
            self._drop(request)

    def _lose(self) -> None:
        """Note the end of the child, and tell the client whose command it ran."""
        if not self.child:
            return
        self.selector.unregister(self.channel)
        self.channel.close()
        child, self.child, self.channel = self.child, 0, None
        until = time.monotonic() + FREED
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.01)
        request = self.children.pop(child, None)
        code = os.waitstatus_to_exitcode(status)
        self._finish(request, str(code or 1).encode())

    def _reap(self) -> None:
        """The end of the child shows as the end of its channel: see `_answered`."""

    def _stop(self) -> None:
        if self.child:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child, signal.SIGKILL)
        super()._stop()


def stay(channel: socket.socket) -> int:
    """Run the commands that come through `channel`, until it ends."""
    resident.stays = True
    null = os.open(os.devnull, os.O_RDWR)
    while True:
        header, ancillary, _, _ = channel.recvmsg(4, socket.CMSG_SPACE(2 * 4))
        if len(header) < 4:
            return 0
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        length, request = int.from_bytes(header, "big"), b""
        while len(request) < length:
            part = channel.recv(length - len(request))
            if not part:
                return 0
            request += part
        status = perform(request, list(descriptors))
        # What is written from now on belongs to no client any more.
        for target in (1, 2):
            os.dup2(null, target)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.sendall(str(status).encode())


def main(argv: list[str]) -> None:
    """Listen, say so, serve."""
    path, run, ready = argv[0], argv[1], int(argv[2])
    allow_files()
    begin(ModelWorker(path, run), ready)


if __name__ == "__main__":
    main(sys.argv[1:])
