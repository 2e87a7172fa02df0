"""The stages of training, in their order: the melody model's encoder and decoder of a single bar, the whole melody
model, its prior, and the actor with its critic."""

STAGES = ("bar", "melody", "prior", "actor")
