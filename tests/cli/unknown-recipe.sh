"$QCONV" "$ROOT/samples/tiny-gemma3" out.gguf --q q4_9
