"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_0 --quiet --threads 1
cp out.gguf.qconv.json first.json
"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_0 --quiet --threads 4 --force
cmp first.json out.gguf.qconv.json
head -n 12 first.json
