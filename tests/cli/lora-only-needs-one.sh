# One adapter a file.
"$QCONV" "$ROOT/samples/tiny-gemma3" out.gguf --lora-only
