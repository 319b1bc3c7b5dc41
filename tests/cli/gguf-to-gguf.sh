# tensors that are of the asked type already are moved, and a file converted to its own types is the same
"$QCONV" "$DATA/models/tiny-llama" f16.gguf --q f16 --quiet
"$QCONV" f16.gguf again.gguf --quiet
cmp f16.gguf again.gguf
"$QCONV" f16.gguf a.gguf --q q4_k_m --quiet
"$QCONV" "$DATA/models/tiny-llama" b.gguf --q q4_k_m --quiet
cmp a.gguf b.gguf
"$QCONV" a.gguf c.gguf --q q4_k_m --quiet
cmp a.gguf c.gguf
"$QCONV" verify c.gguf --against a.gguf --tolerance 0 --quiet
