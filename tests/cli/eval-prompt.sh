# generated text, from every form that a model is in
"$QCONV" "$ROOT/samples/tiny-gemma3" f16.gguf --q f16 --quiet
for model in "$ROOT/samples/tiny-gemma3" f16.gguf "$DATA/models/tiny-gemma3-bnb-nf4" "$DATA/models/tiny-gpt-oss"; do
	echo "== $(basename "$model")"
	"$QCONV" eval "$model" --prompt 'ROMEO:' -n 12
done
"$QCONV" eval f16.gguf --prompt 'ROMEO:' -n 12 --dry-run --threads 2
"$QCONV" eval f16.gguf --prompt 'ROMEO:' -n 1048576 || echo "$?"
"$QCONV" eval f16.gguf --prompt 'ROMEO:' --text x || echo "$?"
