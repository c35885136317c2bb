"""What is checked about a checkpoint, whatever its format: tiling, values, manifests, other checkpoints."""
