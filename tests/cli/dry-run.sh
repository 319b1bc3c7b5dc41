"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_k_m --threads 2 --dry-run | sed 's/disk .* free/disk ... free/'
test ! -e out.gguf
