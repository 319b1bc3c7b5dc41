#!/bin/sh
# Token ids against the peers: @huggingface/tokenizers (npm) on LINES generated texts a family and on every pre-tokenizer
# that it can be given, and libllama on GGUFs of ours. Fails when a peer cannot be installed.
set -eu
BUILD=${BUILD:-build}
LINES=${LINES:-10000}
SEED=${SEED:-1}
. tests/llama-dir.sh
PEER=$BUILD/npm/node_modules/@huggingface/tokenizers
if [ -z "$LLAMA_DIR" ] || [ ! -d "$PEER" ]; then
	echo 'tokenizers: npm or its packages @huggingface/tokenizers and @node-llama-cpp/linux-x64 are missing' >&2
	exit 1
fi
PEER=$(cd "$PEER" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

same_ids() { # same_ids MODEL PRE LINES-FILE: ours and the peer's
	"$BUILD/tests/tokenize_lines" "$1" "$2" <"$3" >"$work/ours"
	node tests/tokenizers_peer.mjs ids "$PEER" "$1" "$2" <"$3" >"$work/theirs"
	if ! cmp -s "$work/ours" "$work/theirs"; then
		row=$(cmp "$work/ours" "$work/theirs" | sed 's/.*line //')
		echo "tokenizers: $1 ($2): $(diff "$work/ours" "$work/theirs" | grep -c '^<') lists differ, the first:" >&2
		sed -n "$(((row + 1) / 2))p" "$3" >&2
		sed -n "${row}p" "$work/ours" >&2
		sed -n "${row}p" "$work/theirs" >&2
		exit 1
	fi
	[ "$(wc -l <"$work/ours")" = $((2 * $(wc -l <"$3"))) ] || { echo "tokenizers: lines are missing" >&2; exit 1; }
	echo "$1 ($2): $(wc -l <"$3") lines equal the peer's"
}

for row in 'samples/tiny-gemma3 gemma3' 'tests/data/models/tiny-llama llama' 'tests/data/models/tiny-gemma4 gemma4' \
	'tests/data/models/tiny-gpt-oss gpt-oss'; do
	set -- $row
	node tests/tokenizers_peer.mjs lines "$SEED" "$LINES" "$2" >"$work/$2.lines"
	same_ids "$1" own "$work/$2.lines"
	"$BUILD/qconv" "$1" "$work/$2.gguf" --quiet
	# the tokenizer's files made of the GGUF's metadata
	"$BUILD/qconv" "$work/$2.gguf" "$work/$2" --q bf16 --quiet
	same_ids "$work/$2" own "$work/$2.lines"
	shared=$work/$2.lines
	if [ "$2" = gpt-oss ]; then # of whose expression libllama has an approximation
		shared=$work/caseless.lines
		node tests/tokenizers_peer.mjs caseless <"$work/$2.lines" >"$shared"
	fi
	"$BUILD/tests/tokenize_lines" --client "$LLAMA_DIR" "$work/$2.gguf" <"$shared"
done
head -n 3000 "$work/gpt-oss.lines" >"$work/some.lines"
for pre in llama-bpe dbrx qwen2 qwen35 tekken gpt-2 smollm deepseek-v3; do
	same_ids tests/data/models/tiny-gpt-oss "$pre" "$work/some.lines"
done
echo 'tokenizers: all equal'
