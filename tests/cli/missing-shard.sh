mkdir model
cp "$DATA"/models/tiny-llama/*.json "$DATA"/models/tiny-llama/model-00001-of-00002.safetensors model/
"$QCONV" model out.gguf
