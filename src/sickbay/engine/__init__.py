"""Beliefs, planning, stopping, learning: arithmetic on terms and numpy; has never heard of any system.

Decision-theoretic troubleshooting (Heckerman, Breese and Rommelse 1995) on a two-layer noisy-OR network with leak
(QMR-DT, Shwe et al. 1991), with hypotheses listed explicitly: none, single causes, pairs.
"""
