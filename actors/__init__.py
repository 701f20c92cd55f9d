"""The living things of Agora, and the composition root that puts them together."""
