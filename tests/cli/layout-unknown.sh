"$QCONV" "$DATA/models/tiny-llama" out --q mxfp4 --layout gguf
