"$BUILD/tests/tiny_safetensors" plain.safetensors 64 nan
"$QCONV" plain.safetensors out.gguf --q q8_0 --quiet || code=$?
ls -A
exit $code
