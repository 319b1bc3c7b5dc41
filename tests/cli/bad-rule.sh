"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_0 --tensor 'attn_(v=q8_0'
