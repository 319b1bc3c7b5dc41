# an edit that leaves a file which no loader takes is refused, unless it is forced
"$QCONV" "$DATA/models/tiny-llama" a.gguf --q q4_0 --quiet --no-manifest
cp a.gguf old.gguf
try() {
	"$QCONV" meta a.gguf "$@" || echo "code $?" >&2
	cmp a.gguf old.gguf
}
try --set llama.block_count=99
try --set general.architecture=gemma3
try --del general.architecture
try --del tokenizer.ggml.tokens
try --set llama.embedding_length=512
try --set 'tokenizer.ggml.tokens=["a", "b"]'
try --set llama.block_count=3 --in-place
"$QCONV" meta a.gguf --set llama.block_count=3 --force
"$QCONV" verify a.gguf --quiet 2>&1 | head -n 2
# what was wrong before is no reason to refuse
"$QCONV" meta a.gguf --set general.name=Other
