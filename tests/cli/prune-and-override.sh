"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --q q8_0 --prune-layers 1,2 --override-kv general.name=str:half \
	--override-kv llama.context_length=int:64 --override-kv tokenizer.ggml.add_bos_token=bool:false --quiet --no-manifest
"$QCONV" inspect out.gguf | grep -E 'general.name|block_count|context_length|add_bos|attn_q.weight'
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --force --prune-layers 1,4 || echo "exit $?"
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --force --prune-layers 1, || echo "exit $?"
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --force --override-kv general.alignment=int:64 || echo "exit $?"
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --force --override-kv a=b || echo "exit $?"
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out --q nf4 --output-type q8_0 || echo "exit $?"
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --force --include-weights attn || echo "exit $?"
