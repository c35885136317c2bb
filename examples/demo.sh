# The story in one screen: lint the broken job, see it hang, fix it, see it run. Called by `make demo`.
set -u
job=.demo/job
# torchrun's own log about ending the ranks is left out; its errors are shown.
export TORCH_LOGS="-torch.distributed.elastic"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# expect CODE COMMAND...: show the command, run it, and stop the demo where it ends with another exit code.
expect() {
    code=$1
    shift
    printf '\n$ %s\n\n' "$*"
    "$@"
    got=$?
    if [ "$got" -ne "$code" ]; then
        echo "demo: expected exit code $code, got $got" >&2
        exit 1
    fi
}

rm -rf .demo && mkdir -p .demo && cp -r examples/broken "$job" && rm -rf "$job/checkpoints"

say "The linter reads a training job whose checkpoints hang"
expect 1 collectivelint check --isolated "$job"

say "The same job under the tracer: it hangs in its first checkpoint, and is stopped with both call sites"
expect 1 collectivelint trace --out-dir .demo/trace -- torchrun --standalone --nproc-per-node 4 "$job/train.py" --dir .demo/checkpoints-broken

say "What the fixes would change"
expect 1 collectivelint check --isolated --fix --unsafe-fixes --diff "$job"

say "Fix it"
expect 0 collectivelint check --isolated --fix --unsafe-fixes "$job"

say "The fixed job under the tracer: it trains, saves, loads its checkpoint back and ends"
expect 0 collectivelint trace --out-dir .demo/trace -- torchrun --standalone --nproc-per-node 4 "$job/train.py" --dir .demo/checkpoints-fixed

say "Another job: tensor parallelism by hand. It saves without an error, and half of each tensor is lost"
expect 1 collectivelint check --isolated examples/features/broken.py
expect 1 collectivelint trace --out-dir .demo/trace -- torchrun --standalone --nproc-per-node 2 examples/features/broken.py --dir .demo/lossy

say "The auditor finds the same in the files, after the job"
expect 1 collectivelint ckpt verify .demo/lossy/dictionary --consolidated .demo/lossy/dictionary.pt

say "The same job with DTensors: nothing is lost, and the consolidated file agrees with the shards"
expect 0 collectivelint trace --out-dir .demo/trace -- torchrun --standalone --nproc-per-node 2 examples/features/correct.py --dir .demo/whole
expect 0 collectivelint ckpt verify .demo/whole/dictionary --consolidated .demo/whole/dictionary.pt

say "The two checkpoints side by side: the first has half of each tensor"
expect 1 collectivelint ckpt diff .demo/lossy/dictionary .demo/whole/dictionary

say "Your turn"
printf '\n  collectivelint src/\n  collectivelint trace -- torchrun --nproc-per-node 8 train.py\n  collectivelint ckpt verify CHECKPOINT\n'
