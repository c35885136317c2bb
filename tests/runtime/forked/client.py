"""`python -S client.py ADDRESS RANKS SCRIPT ARGS...`: have the server run a job; ends as torchrun does.

It imports next to nothing: starting it is part of every job.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys


def main() -> int:
    address, ranks, *command = sys.argv[1:]
    request = {"ranks": int(ranks), "command": command, "cwd": os.getcwd(), "environment": dict(os.environ)}
    data = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)

        def stop(number: int, _: object) -> None:
            # The server's side ends the ranks, and answers.
            sys.stderr.write(f"Received {number} death signal, shutting down workers\n")
            server.send(bytes([number]))

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        socket.send_fds(server, [len(data).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(data)
        answer = server.recv(1)
    return answer[0] if answer else 1


if __name__ == "__main__":
    sys.exit(main())
