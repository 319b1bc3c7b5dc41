"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_k_m --pure --threads 1 --dry-run | grep -cE -- '-> q4_K'
