# 96 columns are no whole block of 256: q4_K falls back to q5_0, in the plan, with the reason
"$BUILD/tests/tiny_safetensors" plain.safetensors 96
"$QCONV" plain.safetensors out.gguf --q q4_k_m --threads 1 --dry-run | sed 's/disk .* free/disk ... free/'
