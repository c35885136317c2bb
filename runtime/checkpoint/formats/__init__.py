"""The formats of checkpoints: each file becomes the data of model.py; nothing in it is executed."""
