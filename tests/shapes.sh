#!/bin/sh
# Published checkpoints as they are stored (names, shapes, dtypes, shards, configuration, size of the tokenizer; see tests/make_shapes.c), with
# their numbers left out: plans of what they are converted to. Each must be that of tests/data/shapes/expected.tsv, and the plan and what it
# takes to make it below 128 MiB. UPDATE=1 rewrites that file: read the diff.
set -eu
BUILD=${BUILD:-build}
data=tests/data/shapes
limit=134217728
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive
make_model() { # make_model NAME TOKENIZER
	[ ! -d "$work/$1" ] || return 0
	mkdir "$work/$1"
	cp "$data/$1"/*.json "$work/$1/"
	"$BUILD/tests/make_shapes" "$data/$1/tensors.txt" "$work/$1" >/dev/null
	"$BUILD/tests/make_tokenizer" "$data/$2.txt" "$work/$1"
}
make_adapter() { # make_adapter NAME
	[ ! -d "$work/$1" ] || return 0
	"$BUILD/tests/make_shapes" "$data/adapters/$1.txt" "$work/$1" >/dev/null
	cp "$data/adapters/$1.json" "$work/$1/adapter_config.json"
}
field() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$work/totals"; }
# plan NAME ADAPTER TARGET: a line of the table; a target with a slash is a directory
plan() {
	set -- "$1" "$2" "$3" "$work/$1" "$work/out.gguf"
	case $3 in dir/*) set -- "$1" "$2" "$3" "$4" "$work/out" ;; esac
	"$BUILD/tests/peak_memory" "$BUILD/qconv" "$4" "$5" --q "${3#dir/}" ${2:+--lora "$work/$2"} --threads 2 --dry-run --json \
		>"$work/peak" 2>"$work/plan" || { tail -n 3 "$work/plan" >&2; return 1; }
	grep '^  "totals"' "$work/plan" >"$work/totals"
	planned=$(field peak_memory_bytes)
	peak=$(($(cat "$work/peak") * 1024))
	if [ "$planned" -gt $limit ] || [ "$peak" -gt "$planned" ]; then
		echo "shapes: $1 $3: $peak bytes to make a plan of $planned, at most $limit are allowed" >&2
		return 1
	fi
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "${2:--}" "$3" "$(field tensors)" "$(field output_bytes)" "$(field fallbacks)" "$(field dropped)"
}
n=0
printf 'model\tadapter\ttarget\ttensors\tbytes\tfallbacks\tdropped\n' >"$work/table"
while read -r model tokenizer adapter targets; do
	make_model "$model" "$tokenizer"
	[ "$adapter" != - ] || adapter=
	[ ! "$adapter" ] || make_adapter "$adapter"
	for target in $targets; do
		plan "$model" "$adapter" "$target" >>"$work/table"
		n=$((n + 1))
	done
done <<'END'
gemma-3-4b-it gemma3 - q4_0 q4_k_m dir/nf4
gemma-3-4b-it gemma3 gemma-3-grpo q4_0
gemma-3-4b-it-merged gemma3 gemma-3-grpo dir/nf4
gemma-3-4b-it-bnb-4bit gemma3 - q4_0 dir/nf4
gemma-4-E4B-it gemma4 - q4_0 dir/nvfp4
gemma-4-E4B-it gemma4 gemma-4-all q4_k_m
gpt-oss-20b gpt-oss - mxfp4_moe nvfp4 dir/nvfp4
gpt-oss-20b gpt-oss gpt-oss-attention mxfp4_moe
gpt-oss-120b gpt-oss - mxfp4_moe dir/mxfp4
END
if [ "${UPDATE:-}" ]; then cp "$work/table" $data/expected.tsv; fi
diff -u $data/expected.tsv "$work/table" >&2
echo "shapes: $n plans of published checkpoints"
