# The plan and the manifest say what is merged; --lora-only writes the adapter itself.
base=$ROOT/samples/tiny-gemma3
adapter=$DATA/models/tiny-gemma3-lora
"$QCONV" "$base" out.gguf --lora "$adapter:0.5" --lora "$adapter" --dry-run | grep ^adapter
"$QCONV" "$base" out.gguf --lora "$adapter" --quiet
grep -E 'adapter|bytes.*safetensors' out.gguf.qconv.json
"$QCONV" "$base" adapter.gguf --lora "$adapter" --lora-only --quiet
"$QCONV" inspect adapter.gguf | sed -n '1,14p'
