"""Two sides of the same features compared, and why they differ.

``examine`` takes tables where they are to a report; ``compare`` is its join and its sample, ``explain`` its answer for
one feature's sampled pairs. Each hypothesis is a file in ``hypotheses``.
"""

from sickbay.stats.skew.compare import Compared, compare
from sickbay.stats.skew.counting import FeatureCounts
from sickbay.stats.skew.explain import explain
from sickbay.stats.skew.explanation import IDS, Explained, Explanation
from sickbay.stats.skew.joining import Sides
from sickbay.stats.skew.pairs import EXACT, History, Pairs, Tolerance, differ
from sickbay.stats.skew.report import FeatureSkew, SkewReport, examine

__all__ = [
    "EXACT", "IDS", "Compared", "Explained", "Explanation", "FeatureCounts", "FeatureSkew", "History", "Pairs", "Sides",
    "SkewReport", "Tolerance", "compare", "differ", "examine", "explain",
]  # fmt: skip
