"""What this service is deployed with, from its environment."""

import os

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "8080"))
MODEL = os.environ.get("MODEL_URI", "model.joblib")
WORKERS = int(os.environ.get("WORKERS", "1"))
SINK = os.environ.get("AUDIT_SINK", "")
PROFILES = int(os.environ.get("PROFILE_CACHE_MB", "24"))
FEATURE_STORE_SECONDS = float(os.environ.get("FEATURE_STORE_SECONDS", "0.4"))
