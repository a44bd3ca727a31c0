"""HTTP in, JSON out: one file per resource. No rules: the engine changes things, the views read them."""
