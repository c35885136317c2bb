"""Inside the job, armed by activate.py: the hooks in a rank's process, and the recorder that they report to."""
