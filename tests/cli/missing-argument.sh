"$QCONV" in out.gguf --q
