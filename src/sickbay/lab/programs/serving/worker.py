"""One worker: takes requests from the socket that its supervisor listens on."""

import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, os.getcwd())  # noqa: PTH109

import settings
import uvicorn

if __name__ == "__main__":
    if os.environ.get("PID_FILE"):
        Path(os.environ["PID_FILE"]).write_text(str(os.getpid()), encoding="utf-8")
    listener = socket.socket(fileno=settings.PORT_FD)
    config = uvicorn.Config(
        os.environ.get("APP", "app:app"), log_level="warning", access_log=False, http="httptools",
        limit_max_requests=settings.MAX_REQUESTS or None,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])
