"$BUILD/tests/tiny_safetensors" a.safetensors 64
"$QCONV" a.safetensors a.gguf --quiet
ln a.gguf hard.gguf
ln -s a.gguf soft.gguf
for out in a.gguf ./a.gguf hard.gguf soft.gguf; do
	"$QCONV" a.gguf $out --q q8_0 --force --quiet || echo "$out: $?"
done
"$QCONV" verify a.gguf --quiet
