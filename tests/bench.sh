#!/bin/sh
# CPU time and memory of whole conversions beside libllama's quantizer on synthetic llamas, and the memory of a large one. BENCH_FULL=1: every
# recipe (an hour); BENCH_RUNS (3, BENCH_FULL=1: 5) runs each, 1 of the slow iq recipes; BENCH_DIR (a temporary folder) needs 7 GB.
set -eu
BUILD=${BUILD:-build}
. tests/llama-dir.sh
if [ -z "$LLAMA_DIR" ]; then
	echo 'bench: the npm package @node-llama-cpp/linux-x64 could not be installed' >&2
	exit 1
fi
work=${BENCH_DIR:-$(mktemp -d)}
[ -n "${BENCH_DIR:-}" ] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work"
runs=${BENCH_RUNS:-3}
slow_runs=1
large='q8_0= q4_0= q4_k_m'
small='q2_k q3_k_m q5_k_m q6_k iq4_nl iq4_xs q4_k_m+ iq4_xs+'
slow='iq3_s iq3_xxs+ iq2_s+ iq2_xs+ iq2_xxs+ iq1_s+'
if [ -n "${BENCH_FULL:-}" ]; then
	runs=${BENCH_RUNS:-5}
	slow_runs=3
	large='q8_0= q4_0= q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k iq4_nl iq4_xs tq1_0 tq2_0'
	small='q4_0+ q4_1+ q5_0+ q5_1+ q2_k+ q2_k_s+ q3_k_m+ q4_k_m+ q5_k_m+ q6_k+ iq4_nl+ iq4_xs+'
	slow='iq3_s iq3_s+ iq3_m+ iq3_xs+ iq3_xxs+ iq2_m+ iq2_s+ iq2_xs+ iq2_xxs+ iq1_m+ iq1_s+'
fi
grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //'
"$BUILD/tests/make_model" "$work/large" 16
"$BUILD/tests/make_model" "$work/small" 2 1024
for model in large small; do
	"$BUILD/qconv" "$work/$model" "$work/$model-f16.gguf" --q f16 --force --quiet
done
# compare MODEL RUNS RECIPE...
compare() {
	model=$1
	n=$2
	shift 2
	"$BUILD/tests/bench" "$BUILD/qconv" "$BUILD/tests/bench_peer" "$LLAMA_DIR" "$work/$model" "$work/$model-f16.gguf" "$work" "$n" "$@"
}
# shellcheck disable=SC2086
compare large "$runs" $large
# shellcheck disable=SC2086
compare small "$runs" $small
# shellcheck disable=SC2086
compare small "$slow_runs" $slow
echo 'prompt processing, f16 weights, windows of 512 tokens, 2 threads'
"$BUILD/tests/bench_prompt" "$LLAMA_DIR" "$work/large-f16.gguf" 16 2 "$runs"
# calibration MODEL WINDOWS: CPU seconds of both, and the ratio
calibration() {
	set -- "$work/$1" "$2"
	model=$1
	windows=$2
	set -- calibrate "$model" --text "$work/calib.txt" --full --windows "$windows" -o "$work/im.gguf" --threads 2
	plan=$("$BUILD/qconv" "$@" --dry-run --json | sed -n 's/.*"peak_bytes": \([0-9]*\).*/\1/p')
	used=$("$BUILD/tests/peak_memory" -t "$BUILD/qconv" "$@" --force --quiet 2>/dev/null)
	echo "  $windows windows, qconv calibrate   ${used#* }, ${used% *} ($((plan / 1024)))"
	set -- "$model" "$work/out.gguf" --q q4_0 --calib "$work/calib.txt" --calib-windows "$windows" --threads 2
	plan=$("$BUILD/qconv" "$@" --dry-run --json | sed -n 's/.*"peak_memory_bytes": \([0-9]*\).*/\1/p')
	gptq=$("$BUILD/tests/peak_memory" -t "$BUILD/qconv" "$@" --force --quiet 2>/dev/null)
	echo "  $windows windows, --q q4_0 --calib   ${gptq#* }, ${gptq% *} ($((plan / 1024)))"
	echo "${used#* } ${gptq#* }" | awk '{ printf "  --calib takes %.2f times qconv calibrate, %.2f times two of it, as two models are run\n", $2 / $1, $2 / (2 * $1) }'
}
echo 'calibration of one layer of that model, windows of 512 tokens (the default are 256), 2 threads: CPU s, peak KiB (plan)'
"$BUILD/tests/make_model" "$work/layer" 1 1024
awk 'BEGIN { srand(1); for (i = 0; i < 150000; i++) printf "t%d ", 259 + int(rand() * 760) }' >"$work/calib.txt"
calibration layer 32
calibration layer 256
rm -rf "$work/layer"
if [ -n "${BENCH_FULL:-}" ]; then
	echo 'all of that model'
	calibration large 32
fi
# bench_row LABEL IN OUT OPTION...: the rate is that of the weights as bf16
bench_row() {
	label=$1
	in=$2
	out=$3
	shift 3
	"$BUILD/tests/bench" row "$label" 308546560 "$runs" "$BUILD/qconv" "$in" "$out" --threads 2 --force --quiet "$@"
	rm -rf "$out" "$out.qconv.json"
}
echo 'the 4-bit world, from bf16 safetensors unless said'
"$BUILD/qconv" "$work/large" "$work/large-nf4" --q nf4 --double-quant --method reference --force --quiet
bench_row 'q4_0, reference' "$work/large" "$work/out.gguf" --q q4_0 --method reference
bench_row 'NF4 -> q4_0, reference' "$work/large-nf4" "$work/out.gguf" --q q4_0 --method reference
bench_row 'nvfp4 GGUF, reference' "$work/large" "$work/out.gguf" --q nvfp4 --method reference
bench_row 'nvfp4 (ModelOpt), reference' "$work/large" "$work/out" --q nvfp4 --method reference
bench_row 'q4_0, search' "$work/large" "$work/out.gguf" --q q4_0
bench_row 'NF4 -> q4_0, search' "$work/large-nf4" "$work/out.gguf" --q q4_0
bench_row 'nvfp4 GGUF, search' "$work/large" "$work/out.gguf" --q nvfp4
bench_row 'nvfp4 (ModelOpt), search' "$work/large" "$work/out" --q nvfp4
bench_row 'mxfp4 GGUF, search' "$work/large" "$work/out.gguf" --q mxfp4
bench_row 'nf4 (bitsandbytes), search' "$work/large" "$work/out" --q nf4 --double-quant
bench_row 'q4_k_m, search' "$work/large" "$work/out.gguf" --q q4_k_m
echo 'threads'
for recipe in q4_k_m iq4_xs; do
	"$BUILD/tests/bench" threads "$BUILD/qconv" "$work/large" "$work/out.gguf" $recipe "$runs"
done
"$BUILD/tests/make_model" "$work/huge" 74
for model in large huge; do
	echo "peak memory, $(wc -c <"$work/$model/model.safetensors") bytes of weights:"
	for recipe in q8_0 q4_0 q4_k_m iq4_xs; do
		"$BUILD/tests/bench" memory "$BUILD/qconv" "$work/$model" "$work/out.gguf" $recipe
	done
done
rm -rf "$work/huge" "$work/huge.imatrix" "$work/large-nf4" "$work/out.gguf" "$work/out.gguf.qconv.json"
