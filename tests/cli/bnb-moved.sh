# bitsandbytes codes move: with the same double quantization byte for byte, without it with the scales that it stands for
model="$DATA/models/tiny-gemma3-bnb-nf4"
"$QCONV" "$model" same --q nf4 --double-quant 2>&1 | grep exact
for file in "$model"/*; do cmp "$file" "same/$(basename "$file")"; done
"$QCONV" "$model" plain --q nf4 2>&1 | grep exact
"$QCONV" verify plain --against "$model" --quiet
# other blocks are encoded anew
"$QCONV" "$model" wide --q nf4 --blocksize 128 2>&1 | grep exact
