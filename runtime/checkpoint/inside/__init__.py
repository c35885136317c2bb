"""Inside the job: checkpoints are compared between ranks as they are written, and with what is loaded."""
