#!/bin/sh
# CPU time and memory of whole conversions beside libllama's quantizer, on a synthetic llama of 307 M parameters; and the memory of one four times
# as large. BENCH_RUNS (5) runs each; BENCH_DIR (a temporary folder) needs 7 GB.
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
grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //'
"$BUILD/tests/make_model" "$work/small" 16
"$BUILD/qconv" "$work/small" "$work/small-f16.gguf" --q f16 --force --quiet
"$BUILD/tests/bench" "$BUILD/qconv" "$BUILD/tests/bench_peer" "$LLAMA_DIR" "$work/small" "$work/small-f16.gguf" "$work" \
	"${BENCH_RUNS:-5}"
# bench_row LABEL IN OUT OPTION...: the rate is that of the weights as bf16
bench_row() {
	label=$1
	in=$2
	out=$3
	shift 3
	"$BUILD/tests/bench" row "$label" 308546560 "${BENCH_RUNS:-5}" "$BUILD/qconv" "$in" "$out" --threads 2 --force --quiet "$@"
	rm -rf "$out" "$out.qconv.json"
}
echo 'the 4-bit world, from bf16 safetensors unless said'
"$BUILD/qconv" "$work/small" "$work/small-nf4" --q nf4 --double-quant --method reference --force --quiet
bench_row 'q4_0, reference' "$work/small" "$work/out.gguf" --q q4_0 --method reference
bench_row 'NF4 -> q4_0, reference' "$work/small-nf4" "$work/out.gguf" --q q4_0 --method reference
bench_row 'nvfp4 GGUF, reference' "$work/small" "$work/out.gguf" --q nvfp4 --method reference
bench_row 'nvfp4 (ModelOpt), reference' "$work/small" "$work/out" --q nvfp4 --method reference
bench_row 'q4_0, search' "$work/small" "$work/out.gguf" --q q4_0
bench_row 'NF4 -> q4_0, search' "$work/small-nf4" "$work/out.gguf" --q q4_0
bench_row 'nvfp4 GGUF, search' "$work/small" "$work/out.gguf" --q nvfp4
bench_row 'nvfp4 (ModelOpt), search' "$work/small" "$work/out" --q nvfp4
bench_row 'mxfp4 GGUF, search' "$work/small" "$work/out.gguf" --q mxfp4
bench_row 'nf4 (bitsandbytes), search' "$work/small" "$work/out" --q nf4 --double-quant
"$BUILD/tests/make_model" "$work/large" 74
for model in small large; do
	echo "peak memory, $(wc -c <"$work/$model/model.safetensors") bytes of weights:"
	for recipe in q8_0 q4_0 q4_k_m; do
		"$BUILD/tests/bench" memory "$BUILD/qconv" "$work/$model" "$work/out.gguf" $recipe
	done
done
rm -rf "$work/large" "$work/small-nf4" "$work/out.gguf" "$work/out.gguf.qconv.json"
