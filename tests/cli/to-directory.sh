# a checkpoint from a checkpoint: everything that belongs to the model, verified against its source
"$QCONV" "$ROOT/samples/tiny-gemma3" out --q nf4 --double-quant --method reference --quiet
ls out
for file in "$DATA"/models/tiny-gemma3-bnb-nf4/*; do cmp "$file" "out/$(basename "$file")"; done
"$QCONV" verify out --against "$ROOT/samples/tiny-gemma3" --quiet | head -n 5
"$QCONV" inspect out | sed -n '1,3p;/blk\.0/p'
"$QCONV" out back --q bf16 --shard-size 4M --quiet
ls back/*.safetensors*
diff "$ROOT/samples/tiny-gemma3/config.json" back/config.json
"$QCONV" verify back --against out --tolerance 0.002 --quiet >/dev/null
