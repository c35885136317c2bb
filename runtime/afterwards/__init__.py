"""After the job: statistics, use of groups, findings confirmed by a run, and conversion to formats of other tools."""
