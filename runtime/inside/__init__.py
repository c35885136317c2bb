"""Inside the job: the hooks in a rank's process, and the recorder that they report to."""
