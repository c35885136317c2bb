"""Code that runs inside the job, started by activate.py: hooks in each rank's process, and the recorder behind them."""
