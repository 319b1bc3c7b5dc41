# rounding activations costs accuracy: FP8 less than NVFP4; nothing is rounded where no weight is quantized
TEXT=$ROOT/samples/generated-heldout.txt
"$QCONV" "$ROOT/samples/tiny-gemma3" nvfp4.gguf --q nvfp4 --quiet
"$QCONV" eval nvfp4.gguf --text "$TEXT" --ctx 128 --windows 4 --quiet --json >none.json
"$QCONV" eval nvfp4.gguf --text "$TEXT" --ctx 128 --windows 4 --quiet --json --act fp8 --against nvfp4.gguf >fp8.json
"$QCONV" eval nvfp4.gguf --text "$TEXT" --ctx 128 --windows 4 --quiet --json --act nvfp4 --against nvfp4.gguf >nvfp4.json
kld() { sed -n 's/.*"mean": \([-0-9.e]*\),.*/\1/p' "$1"; }
echo "$(kld fp8.json) $(kld nvfp4.json)" | awk '{ print ($1 > 1e-6 && $1 < $2 / 4 && $2 < 1) ? "fp8 < nvfp4" : $0 }'
"$QCONV" eval "$ROOT/samples/tiny-gemma3" --text "$TEXT" --act fp8 || echo "$?"
"$QCONV" eval nvfp4.gguf --text "$TEXT" --act int8 || echo "$?"
