"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q8_0 --quiet
printf '\001' | dd of=out.gguf bs=1 seek=300000 conv=notrunc 2>/dev/null
"$QCONV" verify out.gguf --quiet
