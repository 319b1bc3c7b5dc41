"$QCONV" "$ROOT/samples/tiny-gemma3" out.bin --q q4_0
