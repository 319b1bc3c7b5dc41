"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_0 --threads 2 --mem-limit 1M
