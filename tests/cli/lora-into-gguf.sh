# A GGUF has other rows than the adapter was trained for.
"$QCONV" "$ROOT/samples/tiny-gemma3" base.gguf --quiet
"$QCONV" base.gguf out.gguf --lora "$DATA/models/tiny-gemma3-lora"
