"""The checks of a checkpoint in any format: tiling, values, manifests, comparison with other checkpoints."""
