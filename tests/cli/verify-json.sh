"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q8_0 --quiet
"$QCONV" verify out.gguf --against "$DATA/models/tiny-llama" --quiet --json | sed -n 1,14p
