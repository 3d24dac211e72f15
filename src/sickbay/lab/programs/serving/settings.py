"""What this service is deployed with, from its environment."""

import os

PORT_FD = int(os.environ.get("LISTEN_FD", "0"))
DATABASE = os.environ.get("DATABASE_URL", "")
RISK = os.environ.get("RISK_URL", "")
MODEL = os.environ.get("MODEL_FILE", "model.joblib")
HISTORY = os.environ.get("HISTORY_FILE", "history.bin")
SPANS = os.environ.get("SPANS_FILE", "")
ACCESS_LOG = os.environ.get("ACCESS_LOG", "")
POOL = int(os.environ.get("DB_POOL_SIZE", "10"))
POOL_TIMEOUT = float(os.environ.get("DB_POOL_TIMEOUT", "30"))
MAX_REQUESTS = int(os.environ.get("MAX_REQUESTS", "0"))
THREADS = int(os.environ.get("WORKER_THREADS", "8"))


def number(name, usual):
    """Return a whole number of the environment."""
    return int(os.environ.get(name, usual))
