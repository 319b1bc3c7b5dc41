echo precious >out.gguf
"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_0 --quiet || code=$?
cat out.gguf
exit $code
