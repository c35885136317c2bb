"""After the job: what its trace says in numbers, about groups, about static findings, and in other tools' formats."""
