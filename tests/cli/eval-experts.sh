# fused experts with tensor scales of their own, as every layout stores them, run as what they stand for
MODEL=$DATA/models/tiny-gpt-oss
TEXT=$ROOT/samples/generated-heldout.txt
near() { # OUT OPTION...: converted, its divergence from the model is that of four bits
	out=$1
	shift
	"$QCONV" "$MODEL" "$out" "$@" --quiet --no-manifest
	"$QCONV" eval "$out" --text "$TEXT" --windows 2 --ctx 64 --against "$MODEL" --json --quiet |
		tr -d '\n' | sed 's/.*"kld": {"mean": \([0-9.e-]*\).*/\1/' | awk -v out="$out" '{ print out ": " ($1 < 0.02 ? "near" : $1) }'
}
near modelopt --q nvfp4 --layout modelopt
near compressed-tensors --q nvfp4 --layout compressed-tensors
near moved --q mxfp4 --layout gpt-oss
near a.gguf --q nvfp4
near b.gguf --q mxfp4_moe
