"""Hooks inside the job that compare checkpoints between ranks as they are written, and with what is loaded."""
