# what the reader refuses in one sentence is told tensor by tensor
"$QCONV" verify "$DATA/badfiles/bnb-bad-absmax-long.safetensors" --quiet
