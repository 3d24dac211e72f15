"""Two sides of the same features compared, and why they differ.

``compare`` runs over tables where they are; ``explain`` over one feature's sampled pairs; each hypothesis is a file in
``hypotheses``.
"""

from sickbay.stats.skew.explain import explain
from sickbay.stats.skew.explanation import IDS, Explained, Explanation
from sickbay.stats.skew.pairs import EXACT, History, Pairs, Tolerance, differ

__all__ = ["EXACT", "IDS", "Explained", "Explanation", "History", "Pairs", "Tolerance", "differ", "explain"]
