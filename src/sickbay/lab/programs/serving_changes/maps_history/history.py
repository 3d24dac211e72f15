"""The history of a customer, and of those like it: places all over a large file that is mapped."""

import mmap
import os

import numpy as np
import settings

SLICE = 32768
PLACES = settings.number("PLACES", 800)


def open_file():
    """Return the mapped file and how many customers it holds."""
    file = os.open(settings.HISTORY, os.O_RDONLY)
    mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
    mapped.madvise(mmap.MADV_RANDOM)
    return mapped, len(mapped) // (4 * SLICE)


def summary(opened, customer):
    """Return mean and spread over a customer and those like it."""
    mapped, _ = opened
    values = np.frombuffer(mapped, dtype=np.float32)
    places = np.random.default_rng(customer).integers(0, len(values), PLACES)
    chosen = values[places]
    return float(chosen.mean()), float(chosen.std())
