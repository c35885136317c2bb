"""The checkpoint auditor: do memory, shards and the consolidated file agree?

Of files, from the top to the bottom: `model` is what a checkpoint says it holds, whatever its format; `dcp`, `safetensors` and
`torchfile` read the formats (`archive` and `unpickle` read the files of torch.save, without executing anything in them), `load` tells
them apart; `contents` and `boxes` read values; `layout`, `optimizer`, `consolidated`, `resharding` and `manifest` judge, `audit` does all
of it, `compare` tells two checkpoints apart, `show` and `cli` tell people.

In the job: `online` is what hook.py arms; `saves`, `loads` and `files` are the hooks, `ranks` how they reach other ranks, `fingerprints` and
`digests` what is compared, `records` what is left for the launcher and the report.
"""
