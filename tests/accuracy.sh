#!/bin/sh
# Mean KL divergence of quantized files from the model as it is, in nats, computed by the engine (`qconv eval`) at context 256 on all
# of a held-out text: every matrix of the blocks and the head quantized, the embedding as it is, by --method reference, by search, and
# calibrated. On the sample model with the texts that the project ships; with MODELS=DIR also on the models and texts there.
# TYPES, CALIB_WINDOWS (default 64 of 256 tokens) and THREADS change what is run.
set -eu
BUILD=${BUILD:-build}
QCONV=$BUILD/qconv
TYPES=${TYPES:-q4_0 iq4_nl q4_K q5_0 nvfp4 mxfp4 hf:nf4 hf:nvfp4 hf:mxfp4}
WINDOWS=${CALIB_WINDOWS:-64}
OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export OMP_WAIT_POLICY
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

kld() { # OUT MODEL TEXT
	"$QCONV" eval "$1" --against "$2" --text "$3" --ctx 256 --json --quiet ${THREADS:+--threads "$THREADS"} |
		tr -d '\n' | sed 's/.*"kld": {"mean": \([0-9.e-]*\).*/\1/'
	echo
}

table() { # MODEL LEARN HELD-OUT
	printf '\n%s, learnt from %s, measured on %s\n\n' "$(basename "$1")" "$(basename "$2")" "$(basename "$3")"
	echo '| type | reference | search | calibrated | of reference | of search |'
	echo '| --- | --- | --- | --- | --- | --- |'
	for type in $TYPES; do
		case $type in
		hf:*) out=$work/out; set -- "$1" "$2" "$3" --q "${type#hf:}" ;;
		*) out=$work/out.gguf; set -- "$1" "$2" "$3" --q "$type" --pure --tensor token_embd=bf16 ;;
		esac
		model=$1 learn=$2 held=$3
		shift 3
		for way in '--method reference' '--method search' "--calib $learn --calib-ctx 256 --calib-windows $WINDOWS"; do
			# shellcheck disable=SC2086 # a way is several words
			rm -rf "$out" # a directory without a manifest is not known as ours
			"$QCONV" "$model" "$out" "$@" $way --quiet --no-manifest ${THREADS:+--threads "$THREADS"}
			kld "$out" "$model" "$held"
		done | paste -sd' ' - | awk -v type="$type" 'NF != 3 { exit 1 } { printf "| %s | %.6f | %.6f | %.6f | %.2f | %.2f |\n", type, $1, $2, $3, $3 / $1, $3 / $2 }'
		set -- "$model" "$learn" "$held"
	done
}

table samples/tiny-gemma3 samples/generated-train.txt samples/generated-heldout.txt
if [ "${MODELS:-}" ]; then
	for model in tiny-gemma3 tiny-llama tiny-gpt-oss-bf16; do
		table "$MODELS/$model" "$MODELS/shakespeare-train.txt" "$MODELS/shakespeare-heldout.txt"
	done
fi
