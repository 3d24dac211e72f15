"""Features of a batch of payments: merchants as columns beside the numbers, scaled, in one table."""

import numpy as np

MERCHANTS = 1500


def score(model, payments):
    """Return the probability of fraud of each payment."""
    merchant = payments[:, 0].astype(np.int64) % MERCHANTS
    columns = np.zeros((len(payments), MERCHANTS))
    columns[np.arange(len(payments)), merchant] = 1.0
    table = np.hstack([columns, payments[:, 1:]])
    scaled = table / np.maximum(table.max(axis=0), 1.0)
    return model.score((scaled[:, :MERCHANTS] > 0).astype(np.float32), payments[:, 1:])
