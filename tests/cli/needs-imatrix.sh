"$QCONV" "$ROOT/samples/tiny-gemma3" out.gguf --q iq2_xs
