"""Features of a batch of payments: merchants as columns."""

import numpy as np

MERCHANTS = 1500


def score(model, payments):
    """Return the probability of fraud of each payment."""
    merchant = payments[:, 0].astype(np.int64) % MERCHANTS
    columns = np.zeros((len(payments), MERCHANTS), dtype=np.float32)
    columns[np.arange(len(payments)), merchant] = 1.0
    return model.score(columns, payments[:, 1:])
