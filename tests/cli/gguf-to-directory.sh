# a GGUF becomes the checkpoint that it was made of, which gives the GGUF again
"$QCONV" "$ROOT/samples/tiny-gemma3" a.gguf --quiet --no-manifest
"$QCONV" a.gguf out --dry-run | sed -n '1,4p;/^source/,$p' | grep -v '^cost'
"$QCONV" a.gguf out --quiet
ls out
cat out/config.json out/generation_config.json
"$QCONV" verify out --against a.gguf --quiet
"$QCONV" out b.gguf --quiet --no-manifest
cmp a.gguf b.gguf
"$QCONV" a.gguf a.safetensors --q f32 --quiet
"$QCONV" verify a.safetensors --against a.gguf --quiet
# an architecture that is not known keeps its names
sed 's/gemma3/zzmma3/g' a.gguf >z.gguf
"$QCONV" z.gguf z.safetensors --q f16 --quiet
"$QCONV" inspect z.safetensors | sed -n '1,2p;/blk.0.attn_q.weight/p'
