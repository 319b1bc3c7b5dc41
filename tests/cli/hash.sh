"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q8_0 --quiet
"$QCONV" hash out.gguf | tail -n 3
"$QCONV" hash out.gguf --gguf-hash | tail -n 2
grep -c "$("$QCONV" hash out.gguf | tail -n 1 | cut -c1-32)" out.gguf.qconv.json
