"$BUILD/tests/tiny_safetensors" plain.safetensors 64 bool
"$QCONV" plain.safetensors out.gguf --q q8_0 --threads 1 --dry-run | tail -n 2
"$QCONV" plain.safetensors out.gguf --q q8_0 --dry-run --json | grep '"dropped": \['
"$QCONV" plain.safetensors out.gguf --q q8_0 --strict
