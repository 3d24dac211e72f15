"""Starts the service: ``python server.py``, with as many workers as the environment says."""

import settings
import uvicorn

if __name__ == "__main__":
    uvicorn.run(
        "service:app", host=settings.HOST, port=settings.PORT, workers=settings.WORKERS, log_level="warning",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
