"""halo's verifiers and rewards in the training loops of other libraries.

    from halo_core.interop.trl import reward_func              reward functions for TRL's trainers
    from halo_core.interop.verifiers import reward_func        reward functions for rubrics of `verifiers`

Neither module imports its library.
"""
