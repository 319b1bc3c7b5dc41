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
