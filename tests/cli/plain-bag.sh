"$BUILD/tests/tiny_safetensors" plain.safetensors 256
"$QCONV" plain.safetensors out.gguf --q q8_0 --threads 1 --quiet
"$QCONV" inspect out.gguf
"$QCONV" verify out.gguf --against plain.safetensors --tolerance 0.01 --quiet
