"""The model and its work: the actor, sampling, training, log-probabilities. Knows neither drivers nor runs."""
