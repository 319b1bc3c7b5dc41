# what a Hugging Face directory cannot say is named before anything is written
"$QCONV" "$ROOT/samples/tiny-gemma3" a.gguf --quiet --no-manifest
"$QCONV" meta a.gguf --set general.author=me:string --set general.name=other --quiet
"$QCONV" a.gguf out --dry-run | tail -n 2
"$QCONV" a.gguf out --dry-run --json | grep not_brought_back
