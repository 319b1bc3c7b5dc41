#!/bin/sh
# The demonstration: a small trained model from a Hugging Face directory to a Q4_0 GGUF, inspected and verified.
set -eu
BUILD=${BUILD:-build}
out=$BUILD/demo/tiny-gemma3-q4_0.gguf
mkdir -p "$BUILD/demo"
say() {
	echo
	echo "\$ $*"
	"$@"
}
say "$BUILD/qconv" samples/tiny-gemma3 "$out" --q q4_0 --force
say "$BUILD/qconv" inspect "$out" | sed -n '1,/^metadata/p'
say "$BUILD/qconv" verify "$out" --against samples/tiny-gemma3
