"""The checkpoint auditor: whether memory, shards and the consolidated file agree.

Of files, from the top to the bottom: `model` is what a checkpoint says it holds, whatever its format; `formats` reads the formats,
`checks` judges, `audit` does all of it, `show` and `cli` tell people. In the job: `inside` has the hooks, and what the ranks exchange;
`records` reads what that has left for the launcher and the report.
"""
