#!/bin/sh
# Mean KL divergence of quantized files from the model as it is, in nats, computed by the engine (`qconv eval`) at context 256 on all
# of a held-out text: every matrix of the blocks and the head quantized, the embedding as it is, by --method reference, by search, and
# calibrated. On the sample model with the texts that the project ships; with MODELS=DIR also on the models and texts there, by the
# four types of 4 bits alone. The last row of a table is llama-quantize's recipe, embedding included: as llama-quantize makes it with
# an importance matrix of the same text, by search with that, and calibrated. The last column is --calib-gradients, where the model
# has a way back.
# TYPES, CALIB_WINDOWS (default 64 of 256 tokens) and THREADS change what is run.
set -eu
BUILD=${BUILD:-build}
QCONV=$BUILD/qconv
FOUR_BITS='q4_0 hf:nf4 nvfp4 mxfp4'
ALL_TYPES='q4_0 iq4_nl q4_K q5_0 nvfp4 mxfp4 hf:nf4 hf:nvfp4 hf:mxfp4'
RECIPES=${RECIPES-q4_0}
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

row() { # NAME MODEL LEARN HELD-OUT OUT OPTIONS: what is common, then by reference and by search
	name=$1 model=$2 learn=$3 held=$4 out=$5 options=$6 others=$7
	calib="--calib $learn --calib-ctx 256 --calib-windows $WINDOWS"
	for way in "$others --method reference" "$others --method search" "$calib" "$calib --calib-gradients"; do
		rm -rf "$out" # a directory without a manifest is not known as ours
		case $model$way in
		*gpt-oss*gradients) echo - && continue ;;
		esac
		# shellcheck disable=SC2086 # options and a way are several words
		"$QCONV" "$model" "$out" $options $way --quiet --no-manifest ${THREADS:+--threads "$THREADS"}
		kld "$out" "$model" "$held"
	done | paste -sd' ' - | awk -v name="$name" 'NF != 4 { exit 1 }
		{ printf "| %s | %.6f | %.6f | %.6f | %.2f | %.2f |", name, $1, $2, $3, $3 / $1, $3 / $2 }
		$4 == "-" { print " - | - |" }
		$4 != "-" { printf " %.6f | %.2f |\n", $4, $4 / $1 }'
}

table() { # MODEL LEARN HELD-OUT TYPES
	printf '\n%s, learnt from %s, measured on %s\n\n' "$(basename "$1")" "$(basename "$2")" "$(basename "$3")"
	echo '| type | reference | search | calibrated | of reference | of search | with gradients | of reference |'
	echo '| --- | --- | --- | --- | --- | --- | --- | --- |'
	for type in ${TYPES:-$4}; do
		case $type in
		hf:*) row "${type#hf:} (directory)" "$1" "$2" "$3" "$work/out" "--q ${type#hf:}" '' ;;
		*) row "$type" "$1" "$2" "$3" "$work/out.gguf" "--q $type --pure --tensor token_embd=bf16" '' ;;
		esac
	done
	[ -z "$RECIPES" ] || "$QCONV" calibrate "$1" --text "$2" -o "$work/imatrix.gguf" --ctx 256 --windows "$WINDOWS" --quiet --force \
		${THREADS:+--threads "$THREADS"}
	for recipe in $RECIPES; do
		row "$recipe, the whole file" "$1" "$2" "$3" "$work/out.gguf" "--q $recipe" "--imatrix $work/imatrix.gguf"
	done
}

table samples/tiny-gemma3 samples/generated-train.txt samples/generated-heldout.txt "$ALL_TYPES"
if [ "${MODELS:-}" ]; then
	for model in tiny-gemma3 tiny-llama tiny-gpt-oss-bf16; do
		table "$MODELS/$model" "$MODELS/shakespeare-train.txt" "$MODELS/shakespeare-heldout.txt" "$FOUR_BITS"
	done
fi
