"$QCONV" nothing.safetensors out.gguf --q q4_0
