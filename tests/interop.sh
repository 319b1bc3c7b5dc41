#!/bin/sh
# qconv's files in the real client (libllama); fails when the client cannot be installed.
set -eu
BUILD=${BUILD:-build}
. tests/llama-dir.sh
if [ -z "$LLAMA_DIR" ]; then
	echo 'interop: the npm package @node-llama-cpp/linux-x64 could not be installed' >&2
	exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for row in 'samples/tiny-gemma3 bf16 tests/data/goldens/tiny-gemma3' \
	'tests/data/models/tiny-llama f16 tests/data/goldens/tiny-llama' \
	'tests/data/models/tiny-gpt-oss bf16 tests/data/goldens/tiny-gpt-oss' \
	'tests/data/models/tiny-gpt-oss-bf16 bf16 tests/data/goldens/tiny-gpt-oss-bf16' \
	'tests/data/models/tiny-gemma4 bf16 tests/data/goldens/tiny-gemma4'; do
	set -- $row
	echo "interop: $1"
	"$BUILD/tests/interop" "$BUILD/qconv" "$LLAMA_DIR" "$work" "$1" "$2" "$3"
	"$BUILD/tests/interop_fp4" "$BUILD/qconv" "$LLAMA_DIR" "$work" "$1" "$3"
	rm -f "$work"/*
done
echo 'interop: adapters'
"$BUILD/tests/interop_lora" "$BUILD/qconv" "$LLAMA_DIR" "$work" samples/generated-heldout.txt
echo 'interop: recipes'
for model in samples/tiny-gemma3 tests/data/models/tiny-llama tests/data/models/tiny-gpt-oss-bf16 tests/data/models/tiny-gemma4; do
	"$BUILD/qconv" "$model" "$work/$(basename "$model").gguf" --q bf16 --quiet --no-manifest
done
"$BUILD/tests/interop_types" "$LLAMA_DIR" "$work" "$work"/tiny-*.gguf
"$BUILD/tests/interop_bytes" "$LLAMA_DIR" "$work" "$work"/tiny-*.gguf
echo 'interop: split sets, edited metadata'
"$BUILD/qconv" split "$work/tiny-llama.gguf" "$work/set" --split-max-size 2M --quiet
"$BUILD/tests/interop_split" "$LLAMA_DIR" "$work/tiny-llama.gguf" "$work/set" 2000000 0
"$BUILD/qconv" split "$work/tiny-gpt-oss-bf16.gguf" "$work/few" --split-max-tensors 7 --quiet
"$BUILD/tests/interop_split" "$LLAMA_DIR" "$work/tiny-gpt-oss-bf16.gguf" "$work/few" 0 7
"$BUILD/qconv" meta "$work/set-00001-of-00004.gguf" --set general.name='a name that moves the tensors of this file' --quiet
"$BUILD/tests/llama_kl" "$LLAMA_DIR" "$work/tiny-llama.gguf" "$work/set-00001-of-00004.gguf" samples/generated-heldout.txt 4 | grep '^KL 0.000000 '
echo 'interop: scaled channels'
for model in samples/tiny-gemma3 tests/data/models/tiny-llama tests/data/models/tiny-gemma4 tests/data/models/tiny-gpt-oss-bf16; do
	"$BUILD/qconv" "$model" "$work/plain.gguf" --q f32 --quiet --force
	"$BUILD/tests/awq_test" "$model" "$work/scaled.gguf" >/dev/null
	"$BUILD/tests/llama_kl" "$LLAMA_DIR" "$work/plain.gguf" "$work/scaled.gguf" samples/generated-heldout.txt 2 | grep '^KL 0.000000 '
done
echo 'interop: importance matrices'
"$BUILD/qconv" calibrate "$work/tiny-gpt-oss-bf16.gguf" --text samples/generated-heldout.txt --ctx 128 --windows 16 -o "$work/stats.gguf" --quiet
"$BUILD/qconv" calibrate "$work/tiny-gemma3.gguf" --text samples/generated-heldout.txt --ctx 128 --windows 16 -o "$work/stats.dat" --quiet
"$BUILD/tests/interop_imatrix" "$LLAMA_DIR" "$work/stats.gguf" "$work/stats.dat"
echo 'interop: evaluation'
# the same windows, every prediction scored; libllama's own products with q4_0 weights round activations, so both ways are compared
"$BUILD/qconv" "$work/tiny-gemma3.gguf" "$work/q4.gguf" --q q4_0 --quiet --no-manifest
"$BUILD/qconv" "$work/q4.gguf" "$work/q4-f32.gguf" --q f32 --quiet --no-manifest
"$BUILD/qconv" eval "$work/q4.gguf" --against "$work/tiny-gemma3.gguf" --text samples/generated-heldout.txt --ctx 256 --windows 8 --full --json \
	--quiet >"$work/ours.json"
for row in 'q4 1e-4' 'q4-f32 1e-5'; do
	set -- $row
	"$BUILD/tests/llama_kl" "$LLAMA_DIR" "$work/tiny-gemma3.gguf" "$work/$1.gguf" samples/generated-heldout.txt 8 >"$work/theirs"
	awk -v most="$2" '
		FNR == NR { kl = $2; loss = $4; next }
		/"nll"/ { nll = $2 + 0 }
		/"mean"/ { mean = $3 + 0 }
		END {
			bad = mean < kl - most || mean > kl + most || nll < loss - most || nll > loss + most || kl <= 0
			printf "  KL %.6f loss %.6f, libllama %s %s\n", mean, nll, kl, loss
			exit bad
		}' "$work/theirs" "$work/ours.json"
done
