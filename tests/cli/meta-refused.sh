"$QCONV" "$DATA/models/tiny-llama" a.gguf --q q4_0 --quiet
cp a.gguf old.gguf
edit() { "$QCONV" meta a.gguf "$@" || echo "code $?"; }
edit --set general.alignment=64:u32
edit --set split.count=2:u16
edit --set llama.attention.head_count=0
edit --set 'tokenizer.ggml.scores=[1]'
edit --set tokenizer.ggml.bos_token_id=1024
edit --set llama.block_count=many
edit --set llama.block_count=4294967296
edit --set new=1
edit --set =1
edit --set "general.name=$(printf '\377')"
edit --del general.nothing
edit --set general.name='a name that needs more room than the padding has' --in-place
edit --template none.jinja
ln -s a.gguf link.gguf
"$QCONV" meta link.gguf --set general.name=x || echo "code $?"
cmp a.gguf old.gguf
"$QCONV" verify a.gguf --quiet | head -n 2
ls
