"$QCONV" "$DATA/models/tiny-llama" one.gguf --q q4_0 --quiet
"$QCONV" merge one.gguf two.gguf --quiet || echo "code $?"
"$QCONV" split one.gguf set --split-max-tensors 20 --quiet
"$QCONV" merge set-00001-of-00002.gguf two.bin --quiet || echo "code $?"
"$QCONV" merge set-00001-of-00002.gguf set-00002-of-00002.gguf --force --quiet || echo "code $?"
rm set-00002-of-00002.gguf
"$QCONV" merge set-00001-of-00002.gguf two.gguf --quiet || echo "code $?"
"$QCONV" "$DATA/models/tiny-llama" dir --split-max-size 1M --quiet || echo "code $?"
"$QCONV" split one.gguf x --split-max-size 1X --quiet || echo "code $?"
ls
