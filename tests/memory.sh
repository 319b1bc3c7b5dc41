#!/bin/sh
# Memory does not grow with the model: conversions of a 300 MB checkpoint, and of a GGUF made of it, with 2 threads, each below 128 MiB and below
# what its plan says. The slow types get a part of the model only: what a range of rows takes is the same.
set -eu
BUILD=${BUILD:-build}
limit=131072
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive
"$BUILD/tests/make_model" "$work/model" 6 >/dev/null
most=0
n=0
out=out.gguf
measure() { # measure INPUT OPTION ...
	input=$1
	shift
	plan=$("$BUILD/qconv" "$input" "$work/$out" "$@" --threads 2 --dry-run --json | sed -n 's/.*"peak_memory_bytes": \([0-9]*\).*/\1/p')
	peak=$("$BUILD/tests/peak_memory" "$BUILD/qconv" "$input" "$work/$out" "$@" --threads 2 --force --no-manifest --quiet)
	if [ "$peak" -gt $limit ] || [ "$peak" -gt $((plan / 1024)) ]; then
		echo "memory: $input $*: $peak KiB, the plan says $((plan / 1024)), at most $limit are allowed" >&2
		exit 1
	fi
	echo "$peak KiB (plan: $((plan / 1024)))  $(basename "$input") $*"
	[ "$peak" -le $most ] || most=$peak
	n=$((n + 1))
}
for type in bf16 q8_0 q4_0 q4_k_m nvfp4; do measure "$work/model" --q $type; done
measure "$work/model" --q mxfp4 --method reference
for type in q2_K q3_K q5_K q6_K iq4_nl iq4_xs tq2_0; do measure "$work/model" --q q8_0 --tensor "blk\.[0-2]\.ffn_down=$type"; done
for type in iq1_s iq1_m iq2_xxs iq2_xs iq2_s iq3_xxs iq3_s; do
	for method in search reference; do
		measure "$work/model" --q q8_0 --imatrix "$work/model.imatrix" --tensor "blk\.0\.attn_[qk]=$type" --method $method
	done
done
"$BUILD/qconv" "$work/model" "$work/source.gguf" --q q8_0 --no-manifest --quiet
measure "$work/source.gguf"
measure "$work/source.gguf" --q q4_k_m
measure "$work/source.gguf" --q q4_0 --imatrix "$work/model.imatrix" --tensor 'blk\.0\.attn_[qk]=iq2_xs'
measure "$work/source.gguf" --q q6_k --split-max-size 50M --split-max-tensors 9
# the types left, one matrix of each
measure "$work/source.gguf" --q q8_0 --tensor 'blk\.0\.attn_q=q4_1' --tensor 'blk\.0\.attn_k=q5_0' --tensor 'blk\.0\.attn_v=q5_1' \
	--tensor 'blk\.0\.attn_output=tq1_0' --tensor 'blk\.1\.attn_q=q2_0' --tensor 'blk\.1\.attn_k=q1_0' --tensor 'blk\.1\.attn_v=mxfp4'
for type in nf4 'fp8 --layout block' 'nvfp4 --layout compressed-tensors'; do
	out=directory-$n # one without a manifest is not replaced
	measure "$work/source.gguf" --q $type
done
echo "memory: $n conversions, at most $((most / 1024)) MiB of $((limit / 1024))"
