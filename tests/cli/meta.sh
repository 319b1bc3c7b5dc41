# metadata changes, tensors do not
"$QCONV" "$DATA/models/tiny-llama" a.gguf --q q4_0 --quiet
cp a.gguf old.gguf
chmod 640 a.gguf
"$QCONV" meta a.gguf | head -n 6
printf '{{ messages }}' >template.jinja
"$QCONV" meta a.gguf --set general.name='New name: a longer one than it was' --set 'qconv.test=[1, 2]:u16[]' --set tokenizer.ggml.eos_token_id=3 \
	--del tokenizer.chat_template --template template.jinja --show | grep -E 'name|test|eos|template'
cmp a.gguf old.gguf
"$QCONV" meta a.gguf --set general.name='New name: a longer one than it was' --set 'qconv.test=[1, 2]:u16[]' --set tokenizer.ggml.eos_token_id=3 \
	--template template.jinja
"$QCONV" diff old.gguf a.gguf --quiet || echo "code $?"
stat -c %a a.gguf
ls
"$QCONV" meta a.gguf --set tokenizer.ggml.eos_token_id=2 --in-place
"$QCONV" meta a.gguf --set tokenizer.ggml.eos_token_id=2
"$QCONV" verify a.gguf --against old.gguf --tolerance 0 --quiet | head -n 3
ls
