//! The recipe: a TOML file from which a model can be made again.
