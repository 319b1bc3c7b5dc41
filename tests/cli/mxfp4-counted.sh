# MXFP4 to NVFP4: an exponent that E4M3 has not is said and counted, in a file as in a GGUF
"$BUILD/tests/tiny_safetensors" plain.safetensors 64
"$QCONV" plain.safetensors mx.safetensors --q mxfp4 --quiet
moved() { "$QCONV" mx.safetensors "$@" --force 2>&1 | grep -E 'mxfp4 blocks|^exact'; }
moved nv.safetensors --q nvfp4
# the last byte is the last exponent
printf '\144' | dd of=mx.safetensors bs=1 seek=$(($(wc -c <mx.safetensors) - 1)) conv=notrunc 2>/dev/null
moved nv.safetensors --q nvfp4
moved nv.safetensors --q nvfp4 --layout compressed-tensors
moved nv.gguf --q nvfp4
