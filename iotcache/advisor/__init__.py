"""What memory, which TTL, which keys: advice worked out from a cache's traffic. Pure: no socket, no clock.

`references` are what a cache was asked, `sampler` folds them into curves in fixed memory, `rules` turn curves
and figures of the nodes into ranked `Advice`. Formulas and sources: docs/advisor.md.
"""
