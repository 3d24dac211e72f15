"""The model: an embedding of customers and a classifier of scikit-learn, loaded once when a worker starts."""

import joblib
import numpy as np


class Model:
    """Loaded and ready."""

    def __init__(self, path):
        loaded = joblib.load(path)
        self._embedding, self._weights = loaded["embedding"], loaded["merchants"]
        self._classifier = loaded["classifier"]

    @property
    def megabytes(self):
        """Size of its arrays."""
        return self._embedding.nbytes / 1e6

    def customer(self, number):
        """Return the embedding of a customer."""
        return self._embedding[number % len(self._embedding)]

    def score(self, columns, numbers):
        """Return the probability of fraud for merchants in columns, and amount, hour and distance."""
        merchants = columns @ self._weights
        return self._classifier.predict_proba(np.column_stack([merchants, np.log1p(numbers)]))[:, 1]
