"$QCONV" in out.gguf q4_0
