#!/usr/bin/env bash
# The program mnist from outside: what it trains, what it writes, and what it says to bad input.
# usage: mnist_test.sh MNIST QUICKSTART
set -uo pipefail
program=$1 quickstart=$2
source "$(dirname "$0")/checks.sh"
mkdir set && make_set set train 300 && make_set set t10k 100

run() { "$program" "$@" >out 2>err; status=$?; }
# fails STATUS 'TEXT' ARGUMENT...: the program ends with STATUS and one line on stderr that holds TEXT.
fails() {
  local expected=$1 text=$2; shift 2
  run "$@"
  check "$*" "[ $status = $expected ] && [ \$(wc -l <err) = 1 ] && grep -qF -- \"\$text\" err"
}

# ---- training ----
run --data set --epochs 2 --batch-size 128 --save w.safetensors --log log.csv --log-steps steps.csv
check "trains" '[ $status = 0 ]'
check "says which data" 'grep -q "NOT the original MNIST" out && grep -q "test accuracy (not MNIST): best" out'
check "epoch log" '[ "$(head -1 log.csv)" = epoch,train_loss,train_accuracy,test_loss,test_accuracy,best_test_accuracy,lr,seconds,images_per_second ] && [ "$(wc -l <log.csv)" = 3 ]'
check "step log, the short last batch included" '[ "$(wc -l <steps.csv)" = 7 ] && [ "$(head -1 steps.csv)" = step,loss,lr ]'
cp steps.csv first.csv
run --data set --epochs 2 --batch-size 128 --log-steps steps.csv --quiet
check "same seed, same losses to the last digit" 'cmp -s steps.csv first.csv'
check "quiet prints the data, which is not MNIST, and the result" '[ "$(wc -l <out)" = 2 ]'
run --data set --epochs 2 --batch-size 128 --log-steps steps.csv --seed 1
check "another seed, other losses" '! cmp -s steps.csv first.csv'
run --data set --weights w.safetensors --eval
check "evaluates" '[ $status = 0 ] && grep -qE "^test accuracy \(not MNIST\): [0-9.]+ %" out'
last=$(sed -n 's/.*last \([0-9.]*\) %.*/\1/p' <("$program" --data set --epochs 2 --batch-size 128))
check "evaluation of the saved weights is the last epoch's" 'grep -q "$last %" out'
run --data set --weights w.safetensors --eval --confusion
check "a confusion matrix, whose images are all there" '[ $status = 0 ] && [ "$(awk "/^ +[0-9] /{for(i=2;i<=11;++i)n+=\$i}END{print n}" out)" = 100 ] && grep -qE "^among the first 3 answers: [0-9.]+ %$" out'
fails 2 "mnist: --confusion requires --eval" --confusion
run --data set --max-steps 0 --dtype f64 --weights w.safetensors --save w64.safetensors
check "0 steps train nothing; weights are converted" '[ $status = 0 ] && grep -q F64 w64.safetensors'
run --data set --max-steps 3 --batch-size 7 --no-shuffle --no-augment --dropout 0 --lr 0.1 --threads 1 --log-steps steps.csv
check "stops after 3 steps" '[ $status = 0 ] && [ "$(wc -l <steps.csv)" = 4 ] && grep -q "stopped after 3 steps" out'
run --summary
check "summary" '[ $status = 0 ] && grep -q "Parameters: 19,866" out'
run --list
check "list" '[ $status = 0 ] && [ "$(wc -l <out)" = 12 ] && grep -qE "^gap-19k +19,866 +19 +512  sgd lr=0.05 momentum=0.9 +step step_size=10 gamma=0.1 +crop 22 p=0.1, rotation 15 +99.50 %$" out'
for network in $("$program" --list | sed 1d | cut -d" " -f1); do
  run --network $network --data set --max-steps 2 --batch-size 8
  check "$network trains" '[ $status = 0 ] && grep -q "stopped after 2 steps" out'
done

# ---- recipes by options ----
run --data set --max-steps 3 --optimizer "sgd lr=0.05 momentum=0.9" --scheduler "step step_size=10" --log-steps steps.csv --batch-size 128
check "the recipe's own optimizer by name: the same steps" 'cmp -s <(head -4 first.csv) steps.csv'
run --data set --max-steps 3 --optimizer "adam lr=0.01 beta1=0.8" --lr 0.002 --batch-size 128 --log-steps steps.csv
check "another optimizer, and --lr before its own" '[ $status = 0 ] && grep -q "^2,.*,0.002$" steps.csv && ! cmp -s <(head -4 first.csv) steps.csv'
run --data set --epochs 3 --batch-size 128 --scheduler "step step_size=1 gamma=0.5" --log log.csv
check "another schedule" '[ $status = 0 ] && [ "$(sed 1d log.csv | cut -d, -f7 | tr "\n" " ")" = "0.05 0.025 0.0125 " ]'
for choice in "adamw weight_decay=0.1" "rmsprop momentum=0.9 centered=true"; do
  run --data set --max-steps 3 --optimizer "$choice" --batch-size 128
  check "--optimizer $choice" '[ $status = 0 ] && grep -q "stopped after 3 steps" out'
done
rates() { run --data set --epochs 4 --batch-size 300 --log log.csv --scheduler "$@"; sed 1d log.csv | cut -d, -f7 | tr "\n" " "; }
check "multistep" '[ "$(rates "multistep milestones=1,3 gamma=0.5")" = "0.05 0.025 0.025 0.0125 " ]'
check "exponential" '[ "$(rates "exponential gamma=0.5")" = "0.05 0.025 0.0125 0.00625 " ]'
check "warm-up, then a cosine of what is left" '[ "$(rates "linear start_factor=0.5 total_iters=2 then cosine")" = "0.025 0.0375 0.05 0.025 " ]'
run --data set --epochs 2 --batch-size 100 --scheduler "onecycle max_lr=0.1 div_factor=10 pct_start=0.5" --log-steps steps.csv
check "onecycle: a rate for every step, from the first to the last" '[ $status = 0 ] && [ "$(sed 1d steps.csv | cut -d, -f3 | sort -u | wc -l)" = 6 ] && grep -qE "^1,.*,0.00999" steps.csv && grep -qE "^3,.*,0.10+1?$" steps.csv'
fails 1 "mnist: scheduler 'cosine then step step_size=1': expected one 'linear', and after 'then' one that is stepped every epoch" --scheduler "cosine then step step_size=1"
fails 1 "mnist: optimizer 'sgdd': expected adam, adamw, rmsprop, sgd; did you mean sgd?" --optimizer sgdd
fails 1 "mnist: optimizer 'sgd momentun=0.9': sgd has no option momentun; expected lr, momentum, dampening, weight_decay, nesterov; did you mean momentum?" --optimizer "sgd momentun=0.9"
fails 1 "mnist: optimizer 'sgd momentum': expected option=value after the name, got 'momentum'" --optimizer "sgd momentum"
fails 1 "mnist: optimizer 'sgd lr=fast': expected a number for lr, got 'fast'" --optimizer "sgd lr=fast"
fails 1 "mnist: optimizer 'sgd lr=1 lr=2': lr is given twice" --optimizer "sgd lr=1 lr=2"
fails 1 "mnist: optimizer 'sgd nesterov=1': expected true or false for nesterov, got '1'" --optimizer "sgd nesterov=1"
fails 1 "Sgd: " --optimizer "sgd nesterov=true"
fails 1 "mnist: scheduler 'step': step needs step_size=VALUE" --scheduler step
fails 1 "mnist: scheduler 'step step_size=1.5': expected a whole number for step_size, got '1.5'" --scheduler "step step_size=1.5"
fails 1 "mnist: scheduler 'constant gamma=1': constant has no option gamma; it has none" --scheduler "constant gamma=1"
run --help
check "help" '[ $status = 0 ] && grep -q -- --max-steps out'

# ---- where a step's time goes ----
run --data set --max-steps 3 --batch-size 128 --log-steps profiled.csv --profile --profile-trace trace.json --quiet
check "profile" '[ $status = 0 ] && grep -qE "^ceilings of this run: multiply-adds \(FMA\) [0-9.]+ GFLOP/s in f32, copy [0-9.]+ GB/s" out && grep -qE "^norm7\+relu7\+dropout7 .*% copy" out && grep -q "^a step of 128 images: .* images/s; medians of 1 steps, after 1 of warm-up" out'
check "a profile has data, optimizer and all of the step" '[ "$(grep -cE "^(BatchLoader \(data\)|Sgd \(optimizer\)|loss|other|step)  " out)" = 5 ]'
check "profiling changes nothing of what is trained" 'cmp -s <(head -4 first.csv) profiled.csv'
check "a trace" 'python3 - trace.json <<"PYTHON"
import json, sys
events = [e for e in json.load(open(sys.argv[1]))["traceEvents"] if e["ph"] == "X"]
assert [e["name"] for e in events if e["cat"] == "step"] == ["step 1"], events
assert {e["cat"] for e in events} == {"step", "data", "forward", "backward", "optimizer"}
assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in events)
PYTHON'
fails 1 "mnist: cannot write no/trace.json: the folder no does not exist" --data set --profile --profile-trace no/trace.json
check "a trace that cannot be written is told before any work" '[ ! -s out ]'
fails 1 "mnist: two of --save, --log, --log-steps and --profile-trace name the same file, x" --data set --profile --profile-trace x --log x
fails 1 "mnist: --profile: measures training steps, and --eval does none; leave one of them out" --data set --profile --eval
fails 1 "mnist: --profile: expected steps done one by one, got --graph, whose replays cannot be told apart by layer; leave one of them out" --data set --profile --graph
fails 1 "mnist: --profile: expected a training step or more, got --max-steps 0; give a larger number, or leave it out" --data set --profile --max-steps 0
fails 1 "mnist: --profile: expected a whole batch after 1 steps of warm-up, got none in 2 steps; give more --max-steps or --epochs, or a smaller --batch-size" --data set --profile --batch-size 200 --epochs 1 --save kept.safetensors
check "what a report meets after training costs no weights" '[ -s kept.safetensors ]'
fails 2 "mnist: --profile-trace requires --profile" --data set --profile-trace x
rm out  # or its old lines would count
"$program" --data set --profile --max-steps 1000000 --epochs 1000000 --batch-size 64 --profile-trace cut.json >out 2>err & pid=$!
for _ in $(seq 100); do grep -qs "^epoch 2" out && break; sleep 0.1; done
kill -INT $pid; wait $pid; status=$?
check "Ctrl-C ends a profile with what was measured" '[ $status = 130 ] && grep -q "^step  " out && grep -q "^interrupted after" out && python3 -m json.tool cut.json >/dev/null'

# ---- our own kernels or a library's ----
run --data set --max-steps 1 --batch-size 8 --policy "library,conv2d=native,matmul=auto"
check "policy" '[ $status = 0 ]'
run --data set --max-steps 2 --batch-size 8 --policy native --log-steps native.csv
MICA_POLICY=native run --data set --max-steps 2 --batch-size 8 --log-steps environment.csv
check "the policy of the environment is the option's" '[ $status = 0 ] && cmp -s native.csv environment.csv'
fails 2 "--policy: policy 'fast': expected auto, native or library, or op=policy" --data set --policy fast
fails 2 "--policy: policy of op 'conv': there is nothing to choose for it, did you mean 'conv2d'?; ops are matmul, conv2d" --data set --policy native,conv=library
MICA_POLICY=fast fails 1 "mnist: MICA_POLICY=fast: policy 'fast': expected auto, native or library, or op=policy" --data nowhere
fails 2 "mnist: --tf32: tf32 'yes': expected on or off (--help lists the options)" --data set --tf32 yes
fails 2 "mnist: --deterministic: deterministic '1': expected on or off (--help lists the options)" --data set --deterministic 1
fails 2 "mnist: --workspace: workspace '-1': expected a whole number of MiB, from 0 to 1048576 (--help lists the options)" --data set --workspace=-1
MICA_WORKSPACE=1GB fails 1 "mnist: MICA_WORKSPACE=1GB: workspace '1GB': expected a whole number of MiB, from 0 to 1048576" --data nowhere
run --help
check "help names the policies and ops" 'tr -s " \n" " " <out | grep -q "auto, native or library" && tr -s " \n" " " <out | grep -q "avg_pool2d, softmax"'

# ---- Ctrl-C: stops after the batch at hand, saves, says where, exits with 130 ----
rm out
"$program" --data set --epochs 100000 --save interrupted.safetensors >out 2>err & pid=$!
for _ in $(seq 100); do grep -qs "epoch 1" out && break; sleep 0.1; done
kill -INT $pid; wait $pid; status=$?
check "Ctrl-C" '[ $status = 130 ] && grep -q "weights saved to interrupted.safetensors" out && [ -s interrupted.safetensors ]'
run --data set --eval --weights interrupted.safetensors
check "the interrupted weights are whole" '[ $status = 0 ]'

# ---- bad input: one line, a status below 126, nothing overwritten ----
cp w.safetensors before
fails 1 "there is no folder nowhere" --data nowhere --save w.safetensors
mkdir none; fails 1 "none has no train-images-idx3-ubyte" --data none --save w.safetensors
variant() { rm -rf bad && cp -r set bad; }
variant; head -c 1000 set/train-images-idx3-ubyte >bad/train-images-idx3-ubyte; fails 1 "it is truncated" --data bad --save w.safetensors
variant; printf '\001\002\003\004more' >bad/t10k-labels-idx1-ubyte; fails 1 "is no IDX file: it begins with 01 02 03" --data bad
variant; printf '\000\000\010\003\377\377\377\377\377\377\377\377\377\377\377\377' >bad/train-images-idx3-ubyte; fails 1 "more than any machine holds" --data bad
variant; make_set bad train 299; cp set/train-labels-idx1-ubyte bad/; fails 1 "one for each image" --data bad
variant; gzip -c set/train-images-idx3-ubyte | head -c 500 >bad/train-images-idx3-ubyte.gz; rm bad/train-images-idx3-ubyte; fails 1 "is corrupt gzip" --data bad
variant; : >bad/train-images-idx3-ubyte; fails 1 "it has 0 bytes" --data bad
fails 1 "cannot read no.safetensors" --data set --weights no.safetensors
printf garbage-garbage >junk; fails 1 "junk is no safetensors file" --data set --weights junk
# one tensor of another network
{ printf '\100\000\000\000\000\000\000\000'; printf '%-64s' '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'; printf '\000\000\000\000'; } >other.safetensors
fails 1 "other.safetensors: load_state_dict: the weights are of another network: missing conv1.weight" --data set --weights other.safetensors
fails 1 "cannot write no/where: the folder no does not exist" --data set --save no/where
fails 1 "cannot write set: it is a folder" --data set --save set
fails 1 "name the same file" --data set --save x --log x
fails 1 "unknown network 'gap19k'; did you mean gap-19k?" --network gap19k
for option in "--epochs 0" "--epochs x" "--epochs 1.5" "--batch-size 0" "--batch-size -3" "--lr nan" "--lr -1" "--lr inf" "--dropout 2" "--threads 0" "--max-steps -1" \
  "--seed -1" "--seed x" "--device tpu" "--dtype f16" "--nonsense" "--epochs" "--network" "stray"; do
  # shellcheck disable=SC2086
  fails 2 "mnist: " --data set --save w.safetensors $option
done
check "nothing was overwritten" 'cmp -s w.safetensors before'
check "no scratch file stays" '[ -z "$(find . -name "*.safetensors.??????")" ]'

# ---- the README's program ----
"$quickstart" set >out 2>err; status=$?
check "quickstart" '[ $status = 0 ] && grep -q "^test accuracy: " out'

checked
