"""The model: actor, sampling, training, log-probabilities. Imports neither concrete drivers nor runs."""
