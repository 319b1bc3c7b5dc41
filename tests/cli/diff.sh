# any two inputs: the checkpoint and what was made of it, one type and another
"$QCONV" "$DATA/models/tiny-llama" a.gguf --q q8_0 --method reference --quiet
"$QCONV" "$DATA/models/tiny-llama" b.gguf --q q8_0 --method reference --tensor 'blk\.1\.ffn_down=q4_0' --quiet
"$QCONV" diff a.gguf a.gguf --quiet
"$QCONV" diff a.gguf b.gguf --quiet || echo "code $?"
"$QCONV" diff a.gguf b.gguf --quiet --json || echo "code $?"
"$QCONV" diff "$DATA/models/tiny-llama" a.gguf --quiet | grep -v attn || echo "code $?"
"$QCONV" diff a.gguf "$DATA/models/tiny-llama" --quiet | tail -n 1
"$QCONV" diff a.gguf "$ROOT/samples/tiny-gemma3" --quiet | grep -E '^[-+<] blk.0|^~ tok|^meta|^tens'
