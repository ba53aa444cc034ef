"""Learning-rate policies across cycles, for halo.

`policies` holds those that follow a plan made beforehand, `adaptive` those that react to what past cycles
measured, `bounds` what they share, a floor and a ceiling. Rates are peak learning rates of AdamW for one cycle;
what happens within the cycle is the trainer's schedule. No policy keeps state: the history is its memory, so
that a resumed run goes on as it would have.
"""
