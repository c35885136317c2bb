"""The checkpoint auditor: whether memory, shards and the consolidated file agree.

On files, from the bottom up: `model` describes the content of a checkpoint in any format, `formats` reads the formats,
`checks` finds problems, `audit` runs all checks, `show` and `cli` report them. In the job: `inside` has the hooks and
the data that ranks exchange; `records` reads what the hooks left for the launcher and the report.
"""
