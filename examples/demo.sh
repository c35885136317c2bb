# The story in one screen: lint the broken job, see it hang, fix it, see it run. Called by `make demo`.
set -u
# torchrun logs nothing but errors: that it ends the ranks is said by the tracer.
export LOGLEVEL=ERROR
job=.demo/job
ranks="torchrun --standalone --nproc-per-node 4"

say() { printf '\n\033[1m== %s\033[0m\n\n' "$*"; }
must() { if [ "$1" -ne "$2" ]; then echo "demo: expected exit code $2, got $1" >&2; exit 1; fi; }

rm -rf .demo && mkdir -p .demo && cp -r examples/broken "$job" && rm -rf "$job/checkpoints"

say "What the linter finds in a checkpoint job with the bugs of this field"
collectivelint check --isolated "$job"
must $? 1

say "The same job, traced: it hangs in its first checkpoint and is stopped with a report"
collectivelint trace --out-dir .demo/trace-broken -- $ranks "$job/train.py" --dir .demo/checkpoints-broken
must $? 1

say "What --fix --unsafe-fixes would change"
collectivelint check --isolated --fix --unsafe-fixes --diff "$job"
must $? 1

say "Fixed"
collectivelint check --isolated --fix --unsafe-fixes "$job"
must $? 0

say "The fixed job, traced: it trains, saves, loads its checkpoint back and ends"
collectivelint trace --out-dir .demo/trace-fixed -- $ranks "$job/train.py" --dir .demo/checkpoints-fixed
must $? 0

say "A checkpoint that keeps one rank's part: tensor parallelism by hand, saved as plain tensors"
collectivelint check --isolated examples/features/broken.py
must $? 1
collectivelint trace --out-dir .demo/trace-lossy -- torchrun --standalone --nproc-per-node 2 examples/features/broken.py --dir .demo/lossy
must $? 1

say "What the files hold, half of it from rank 0 and half from rank 1"
collectivelint ckpt verify .demo/lossy/dictionary --consolidated .demo/lossy/dictionary.pt
must $? 1

say "The same, saved as DTensors: nothing is lost, and the file that was made of it agrees"
collectivelint trace --out-dir .demo/trace-whole -- torchrun --standalone --nproc-per-node 2 examples/features/correct.py --dir .demo/whole
must $? 0
collectivelint ckpt verify .demo/whole/dictionary --consolidated .demo/whole/dictionary.pt
must $? 0
collectivelint ckpt diff .demo/lossy/dictionary .demo/whole/dictionary
must $? 1
