"""Learning rate policies across cycles for halo.

`policies` contains the policies that follow a fixed plan, `adaptive` those that react to measurements of past
cycles, and `bounds` their common floor and ceiling. Rates are AdamW's peak learning rates for one cycle; the
trainer's schedule applies within the cycle. No policy keeps state: each rate follows from the run's history, so
a resumed run uses the same rates as an uninterrupted one.
"""
