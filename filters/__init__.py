"""Arrays in, arrays out: refinement, composition and the other stages around a network."""
