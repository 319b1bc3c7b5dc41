"$QCONV" "$ROOT/samples/tiny-gemma3" out.gguf --q q4_0 --quiet
"$QCONV" verify out.gguf --against "$ROOT/samples/tiny-gemma3" --quiet
ls
