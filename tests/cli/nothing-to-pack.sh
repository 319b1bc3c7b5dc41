# a model without experts has nothing that the gpt-oss layout packs
"$QCONV" "$DATA/models/tiny-llama" out --q mxfp4 --layout gpt-oss --quiet
