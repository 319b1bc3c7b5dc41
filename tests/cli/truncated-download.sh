head -c 2000000 "$ROOT/samples/tiny-gemma3/model.safetensors" >model.safetensors
"$QCONV" model.safetensors out.gguf --q q4_0
