"""halo's verifiers and rewards in other people's training loops.

    from halo_core.interop.trl import reward_func              a reward function for TRL's trainers
    from halo_core.interop.verifiers import reward_func        one for a rubric of `verifiers`

Neither module imports the library that it serves.
"""
