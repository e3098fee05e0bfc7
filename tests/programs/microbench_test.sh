#!/usr/bin/env bash
# The program microbench from outside: it checks every kernel, sees a wrong one, keeps what it has whatever happens, names its cases, and
# refuses bad options. No more is timed than a case or two.
# usage: microbench_test.sh MICROBENCH BACKEND SOURCE      (BACKEND: nvcc, emulator, or empty)
set -uo pipefail
program=$1 backend=$2 source=$3 compare=$3/benchmarks/compare.py
source "$(dirname "$0")/checks.sh"

run() { "$program" "$@" >out 2>err; status=$?; }
fails() { # TEXT ARGUMENT...: ends with a status of its own, says TEXT on stderr, and nothing on stdout
  local text=$1; shift
  run "$@"
  check "$*" "[ $status -gt 0 ] && [ $status -lt 126 ] && grep -qF -- \"\$text\" err && [ ! -s out ]"
}
device=cpu
[ "$backend" != emulator ] || device=cuda

# ---- every kernel is right, and a wrong result is seen ----
run --device $device --validate --sizes small --json all.json
check "every kernel is right" '[ $status = 0 ] && grep -qE "^[0-9]+ implementations of [0-9]+ cases checked, 0 wrong$" err && [ "$(grep -c "native | right within" out)" -gt 40 ]'
cases=$(grep -c '"family"' all.json)
check "progress, with the time used" '[ "$(grep -cE "^[^ ]+/.* \([0-9]+ of $cases, after [0-9]+\.[0-9] s\)$" err)" = "$cases" ]'
run --device $device --validate --sizes small --filter elementwise/relu --plant-error
check "a wrong result is seen" '[ $status = 1 ] && grep -q "elementwise/relu 1003: native is wrong: its error is" err && grep -q "| native | wrong by" out'
families="step conv2d chain batch_norm optimizer matmul pool loss gather dropout layer_norm elementwise broadcast reduction copy"
[ $device = cuda ] || families=${families/ chain/}
check "every family is there, what weighs most in a step first" '[ "$(sed -n "s/.*\"family\": \"\(.*\)\".*/\1/p" all.json | uniq | xargs)" = "$families" ]'
check "JSON" 'python3 - all.json $device <<"PYTHON"
import json, sys
r = json.load(open(sys.argv[1]))
assert r["program"] == "microbench" and r["schema"] == 1 and r["validated_only"] and not r["interrupted"], r
assert r["commit"] and r["date"].endswith("Z") and r["ceilings"] is None and r["sizes"] == "small", r
assert r["device"]["kind"] == {"cpu": "cpu", "cuda": "cuda:0"}[sys.argv[2]] and r["device"]["emulated"] == (sys.argv[2] == "cuda") and r["device"]["name"], r
for c in r["cases"]:
  assert c["bytes"] > 0 and c["flops"] >= 0, c
  assert c["implementations"][0]["name"] in ("native", "auto") and "skipped" not in c["implementations"][0], c
  for i in c["implementations"]:
    assert "skipped" in i or (i["valid"] and 0 <= i["error"] <= i["bound"] and i["cold"] is None and i["warm"] is None), (c["name"], i)
bounds = {i["name"]: i["bound"] for c in r["cases"] if c["family"] in ("conv2d", "matmul") for i in c["implementations"] if "skipped" not in i}
own = {"native": 1e-5, "oneDNN": 1e-5, "naive": 2e-3, "native TF32": 2e-3, "cuDNN": 1e-4, "cuBLAS": 1e-4, "cuDNN TF32": 2e-3, "cuBLAS TF32": 2e-3}
assert bounds == {name: own[name] for name in bounds} and len(bounds) > 1, bounds
PYTHON'
run --device $device --validate --sizes small --filter copy/copy --json -
check "JSON instead of the table" '[ $status = 0 ] && python3 -m json.tool out >/dev/null && grep -q "\"program\": \"microbench\"" out'

# ---- what throws, runs out of time or is killed loses nothing else ----
run --device $device --validate --sizes small --filter "elementwise/(relu|sigmoid) 1003" --plant-failure naive --json failed.json
check "what throws is told, and the others go on" '[ $status = 1 ] && grep -q "^elementwise/relu 1003: naive failed: planted$" err &&
  grep -q "^2 implementations of 2 cases checked, 0 wrong, 2 failed$" err && [ "$(grep -c "| naive | failed: planted |" out)" = 2 ] && [ "$(grep -c "| native | right within" out)" = 2 ]'
check "JSON of what throws" 'python3 - failed.json <<"PYTHON"
import json, sys
r = json.load(open(sys.argv[1]))
assert len(r["cases"]) == 2 and not r["interrupted"], r
for c in r["cases"]:
  native, naive = c["implementations"]
  assert c["error"] == "naive: planted" and native["valid"] and not naive["valid"] and naive["error"] is None, c
PYTHON'
start() { # FILE: a long run, with its first case in FILE
  rm -f "$1" err  # or what an earlier run wrote would count
  "$program" --device $device --sizes small --filter "elementwise|broadcast|reduction|copy" --group-ms 2 --json "$1" >out 2>err & running=$!
  for _ in $(seq 400); do grep -qs '"family"' "$1" && break; sleep 0.05; done
}
start killed.json
kill -KILL $running; wait $running 2>/dev/null; status=$?
check "a run that is killed leaves what it has" '[ $status = 137 ] && python3 -m json.tool killed.json >/dev/null &&
  grep -q "\"name\": \"relu 1003\"" killed.json && grep -q "\"interrupted\": true" killed.json'
start cut.json
kill -INT $running; wait $running; status=$?
check "Ctrl-C keeps what was measured" '[ $status = 130 ] && grep -q "\"interrupted\": true" cut.json && grep -q "; interrupted, the rest was not measured" err &&
  python3 -m json.tool cut.json >/dev/null && grep -q "\"name\": \"relu 1003\"" cut.json'
run --device $device --sizes small --filter reduction --group-ms 1 --repeats 300 --time-limit 0.5 --json limited.json
check "a time limit" '[ $status = 130 ] && grep -q "; interrupted, the rest was not measured" err && grep -q "\"interrupted\": true" limited.json'
if [ $device = cuda ]; then
  MICA_CUDA_CHECK_MEMORY=0 EMULATOR_FAIL=launch:4:cudaErrorIllegalAddress run --device cuda --validate --sizes small --filter elementwise --json lost.json
  check "a lost device ends the run" '[ $status = 1 ] && grep -q "the CUDA device is lost for this process: .*cudaErrorIllegalAddress" err && python3 - lost.json <<"PYTHON"
import json, sys
r = json.load(open(sys.argv[1]))
first, last = r["cases"]
assert r["interrupted"] and "error" not in first and "the CUDA device is lost" in last["error"], r
assert first["implementations"][0]["valid"] and last["implementations"][0]["valid"] and not last["implementations"][1]["valid"], r
PYTHON'
  MICA_CUDA_CHECK_MEMORY=0 EMULATOR_FAIL=allocation:5+:cudaErrorMemoryAllocation run --device cuda --validate --sizes small --filter elementwise/relu --json full.json
  check "a case that finds no memory is told" '[ $status = 1 ] && grep -q "^| elementwise/relu gradient 1003 | | failed: cannot allocate .* use a smaller batch |" out &&
    grep -q "\"error\": \"cannot allocate" full.json && grep -q "^2 implementations of 2 cases checked, 0 wrong, 1 failed$" err'
  MICA_WORKSPACE=0 run --device cuda --validate --sizes small --filter "conv2d/(forward|data gradient) c5"  # such gradients do not repeat their bits
  check "what a library refuses is not called its own" '[ $status = 0 ] && grep -q "^| conv2d/forward c5 .* | cuDNN | right within" out &&
    grep -q "^| conv2d/data gradient c5 .* | cuDNN | not run: cuDNN has no kernel for this |" out && grep -q "^| conv2d/data gradient c5 .* | native | right within" out'
fi

# ---- timed cases ----
run --device $device --sizes small --filter "^reduction/sum of rows" --repeats 5 --json emulated.json
[ $device = cpu ] || check "an emulated device has no times" '[ $status = 0 ] && grep -q "An emulated device: its times say nothing" out && grep -q "\"ceilings\": null" emulated.json && ! grep -q median_us emulated.json'
figures() { # FILE REPEATS GRAPH: times of one case
  python3 - "$@" <<"PYTHON"
import json, sys
r, repeats, graph = json.load(open(sys.argv[1])), int(sys.argv[2]), sys.argv[3] == "graph"
ceilings = r["ceilings"]
assert ceilings["copy_gb_s"] > 0 and ceilings["fma_gflop_s"] > 0 and not r["validated_only"], r
on_cuda = r["device"]["kind"] != "cpu"
assert on_cuda or (ceilings["tf32_gflop_s"] is None and ceilings["launch_us"] is None and r["threads"] > 0), r
[case] = r["cases"]
for i in case["implementations"]:
  if "skipped" in i: continue
  for way in "cold", "warm":
    t = i[way]
    assert t["repeats"] == repeats and 0 < t["min_us"] <= t["low_us"] <= t["median_us"] <= t["high_us"] <= t["max_us"] and t["calls"] > 0, t
    assert t["graph"] == graph and t["launch_bound"] == (on_cuda and t["median_us"] < 2 * (ceilings["graph_launch_us" if graph else "launch_us"] or 0)), (t, ceilings)
    if i["name"] not in ("native", "naive") or case["family"] != "reduction": continue
    copied, multiplied = case["bytes"] / ceilings["copy_gb_s"], case["flops"] / ceilings["fma_gflop_s"]
    assert t["ceiling"] == ("copy" if copied >= multiplied else "FMA"), t
    assert abs(t["percent_of_ceiling"] * t["median_us"] / max(copied, multiplied) * 10 - 1) < 1e-6, t
    assert abs(t["gb_s"] * t["median_us"] * 1e3 / case["bytes"] - 1) < 1e-6 and abs(t["gflop_s"] * t["median_us"] * 1e3 / case["flops"] - 1) < 1e-6, t
PYTHON
}
times() { run --device $device --plant-times --sizes small --json timed.json "$@"; }
recorded=none; [ $device = cpu ] || recorded=graph
times --filter "^reduction/sum of rows" --repeats 5
check "figures" '[ $status = 0 ] && [ "$(grep -c "reduction/sum of rows" out)" = 2 ] && figures timed.json 5 $recorded'
check "nothing changed beside itself" 'python3 "$compare" timed.json timed.json >out && grep -q "^0 slower" out && grep -q "^4 of 4 the same" out'
times --filter "^conv2d/forward c4" --repeats 2 --group-ms 0.5
check "few repeats" '[ $status = 0 ] && figures timed.json 2 $recorded && ! grep -q "2 repeats" out'
times --filter "^conv2d/forward c4" --repeats 5 --group-ms 0.001
check "what takes longer than a group is repeated less" '[ $status = 0 ] && figures timed.json 3 $recorded && [ "$(grep -cE " 3 repeats \| .* 3 repeats \|" out)" -ge 2 ]'
if [ $device = cuda ]; then
  check "the table tells a graph" 'grep -q "^| conv2d/forward c4 .* | native | .*) graph 3 repeats |" out && grep -q "^graph: replayed as a CUDA graph" out'
  EMULATOR_FAIL=graph:1+:cudaErrorStreamCaptureUnsupported times --filter "^reduction/sum of rows" --repeats 1
  check "what cannot be recorded is called one by one" '[ $status = 0 ] && figures timed.json 1 none && ! grep -q ") graph" out'
fi

# ---- names ----
run --device $device --list --sizes network
check "--list" '[ $status = 0 ] && [ "$(wc -l <out)" -gt 60 ] && grep -q "^conv2d/forward c2 128x26x26x16 to 16, 3x3  .* FLOP: native " out && [ ! -s err ]'
if [ $device = cuda ]; then
  check "ways by tensor cores" '[ "$(grep -cE "^conv2d/.* c[234678] .* FLOP: native cuDNN native TF32 cuDNN TF32 naive$" out)" = 24 ] &&
    [ "$(grep -cE "^chain/.* FLOP: native one by one cuDNN one by one native TF32 one by one TF32 cuDNN one by one TF32 naive$" out)" = 6 ]'
else
  fails "--filter chain/: no case of --sizes network fits" --device cpu --filter chain/  # on CUDA only
fi
run --device $device --list --filter "conv2d/(data|weight) gradient c3"
check "a regular expression" '[ $status = 0 ] && [ "$(wc -l <out)" = 2 ]'

# ---- bad options ----
fails "--filter nothing-like-it: no case of --sizes network fits; --list shows them" --filter nothing-like-it
fails "--filter *(: neither a part of a case's name nor a regular expression" --filter "*("
fails "--device: tpu not in {auto,cpu,cuda}" --device tpu
fails "--sizes: huge not in {small,network,large}" --sizes huge
fails "--repeats: Value 0 not in range" --repeats 0
fails "--time-limit: Value 0 not in range" --time-limit 0
fails "--group-ms: Value 0 not in range" --group-ms 0
fails "cannot write no/where: the folder no does not exist" --device $device --validate --sizes small --filter elementwise/relu --json no/where
if [ -z "$backend" ]; then
  fails "use Device::cpu()" --device cuda
  fails "this build has no CUDA kernels" --static
fi

# ---- static_figures.py ----
if [ "$backend" = nvcc ]; then
  python3 "$source/benchmarks/static_figures.py" "$(dirname "$program")/../.." --file softmax >out 2>err; status=$?
  check "static figures" '[ $status = 0 ] && grep -qE "^\| softmax \| .*float> \| [0-9]+ \| 0 \| [0-9]+ \| [0-9]+% \|" out && grep -q "^| conv2d/forward c2 " out && ! grep -qE "[0-9] (µs|ms)" out'
  python3 "$source/benchmarks/static_figures.py" "$(dirname "$program")/../.." --file conv2d_tensor_forward >out 2>err
  check "precisions are told apart" '[ "$(grep -o "conv2d_tensor_forward_kernel<16, [36], Precision [01]>" out | sort -u | wc -l)" = 2 ]'
else
  python3 "$source/benchmarks/static_figures.py" . >out 2>err; status=$?
  check "static figures need nvcc's report" '[ $status = 1 ] && grep -q "no .resources files of kernels under" err && [ ! -s out ]'
fi

# ---- compare.py: spread, speed, refusals ----
report() { # DEVICE LOW MEDIAN HIGH
  echo "{\"program\": \"microbench\", \"schema\": 1, \"device\": {\"name\": \"$1\"}, \"threads\": 2, \"sizes\": \"network\", \"commit\": \"c\", \"date\": \"d\",
 \"cases\": [{\"family\": \"f\", \"name\": \"n\", \"implementations\": [{\"name\": \"native\", \"cold\": {\"low_us\": $2, \"median_us\": $3, \"high_us\": $4}, \"warm\": null}]}]}"
}
report A 9 10 11 >before
report A 10.5 12 13 >within
report A 19 20 21 >slower
report A 4 5 6 >faster
report B 9 10 11 >other
compares() { # STATUS TEXT FILE...
  local expected=$1 text=$2; shift 2
  python3 "$compare" "$@" >out 2>err; status=$?
  check "compare.py $*" "[ $status = $expected ] && cat out err | grep -qF -- \"\$text\""
}
compares 0 "1 of 1 the same" before within
compares 1 "| f/n | native | cold | 10 (9 to 11) | 20 (19 to 21) | 0.50 |" before slower
compares 0 "| f/n | native | cold | 10 (9 to 11) | 5 (4 to 6) | 2.00 |" before faster
compares 2 "device differ: A in before, B in other; --any-device compares them" before other
compares 0 "1 of 1 the same" before other --any-device
compares 2 "nowhere: No such file" before nowhere
echo '{}' >empty
compares 2 "empty: not written by microbench" before empty
sed 's/"device": {[^}]*}, //' before >deviceless
compares 2 "deviceless: no 'device'; give two files that microbench --json wrote" before deviceless
sed 's/"name": "A"/"name": "A", "about": "driver 1"/' before >driver1
sed 's/"name": "A"/"name": "A", "about": "driver 2"/' before >driver2
compares 0 "the device differs: A (driver 1) in driver1, A (driver 2) in driver2" driver1 driver2
compares 0 "the device differs: A in before, B in other" before other --any-device
sed 's/"name": "native", .*/"name": "native", "valid": false, "error": 0.5, "cold": null, "warm": null}]}]}/' before >wrong
sed 's/"name": "native", .*/"name": "native", "skipped": "no library"}, {"name": "naive", "valid": true, "cold": null, "warm": null}]}]}/' before >skipped
compares 1 "f/n native: timed in before, wrong in wrong" before wrong
compares 0 "f/n native: timed in before, not run in skipped (no library)" before skipped
compares 0 "f/n native: wrong in wrong, timed in before" wrong before
check "a row that is told once" '[ "$(grep -c "f/n native" out)" = 1 ]'
# What threw, by an implementation beside one that was timed, or before there was any.
sed 's/"warm": null}]}]}/"warm": null}, {"name": "naive", "valid": false, "error": null, "bound": 1, "cold": null, "warm": null}], "error": "naive: no memory"}]}/' before >threw
sed 's/"implementations": .*/"implementations": [], "error": "no memory"}]}/' before >none
sed 's/"implementations": .*/"implementations": [{"name": "native", "skipped": "no library"}]}]}/' before >all_skipped
sed 's/{"name": "native", .*/{"name": "native", "valid": false, "error": 3, "bound": 1, "cold": null, "warm": null}, {"name": "naive", "valid": false, "error": null, "bound": 1, "cold": null, "warm": null}], "error": "naive: no memory"}]}/' before >both
compares 1 "f/n: failed in threw (naive: no memory)" before threw
compares 1 "f/n: failed in none (no memory)" before none
check "a case that is told once" '[ "$(grep -c "f/n" out)" = 1 ]'
compares 1 "f/n: failed in none (no memory)" none none
compares 1 "f/n: failed in all_skipped (nothing of it was run)" before all_skipped
compares 1 "f/n native: timed in before, wrong in both" before both
compares 0 "f/n: failed in threw (naive: no memory)" threw before
# A graph's replay and calls one by one are not the same measurement.
sed 's/"high_us": [0-9]*/&, "graph": true/' slower >graph
sed 's/"high_us": [0-9]*/&, "graph": false/' before >called
compares 0 "| f/n | native | cold | 10 (9 to 11) | 20 (19 to 21) graph | 0.50 |" called graph
check "pairs that are timed differently" 'grep -qx "1 timed differently, as a graph in one file only, which say nothing of the code" out && grep -qx "0 slower" out && grep -q "^0 of 0 the same" out'
compares 1 "1 slower" before graph
sed 's/"cases"/"interrupted": true, "cases"/' before >cut
compares 0 "cut was interrupted: cases are missing" cut before
compares 0 "cut was interrupted: cases are missing" before cut

checked
