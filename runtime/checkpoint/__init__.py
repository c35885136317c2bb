"""The checkpoint auditor: do memory, shards and the consolidated file agree?

Data flows from the top to the bottom: `model` is what a checkpoint says it holds, whatever its format; `dcp`, `safetensors`
and `torchfile` read the formats (`archive` and `unpickle` read the files of torch.save, without executing anything in them),
`load` tells them apart; `layout`, `contents`, `optimizer`, `consolidated`, `resharding` and `manifest` judge, `compare` tells two
checkpoints apart, `show` and `cli` tell people.
"""
