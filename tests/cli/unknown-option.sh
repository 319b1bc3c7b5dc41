"$QCONV" in out.gguf --quantize q4_0
