"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_0 --quiet
"$QCONV" verify out.gguf --against "$DATA/models/tiny-llama" --quiet --tolerance 0.01 >/dev/null
