# an edit in place that was interrupted is told to whoever reads the file; what is no undo file of it is not used
"$QCONV" "$DATA/models/tiny-llama" a.gguf --q q4_0 --quiet
echo 'of something else' >a.gguf.qconv-undo
"$QCONV" verify a.gguf --quiet | head -n 2
"$QCONV" a.gguf b.gguf --quiet
"$QCONV" meta a.gguf --set general.name=x || echo "code $?"
rm a.gguf.qconv-undo
"$QCONV" meta a.gguf --set tokenizer.ggml.bos_token_id=1023 --quiet
"$QCONV" meta a.gguf | grep bos_token_id
