# no model is run on what is no text, or too little of it
MODEL=$ROOT/samples/tiny-gemma3
"$QCONV" eval "$MODEL" || echo "no text: $?"
: >empty.txt
"$QCONV" eval "$MODEL" --text empty.txt || echo "empty: $?"
echo 'To be' >short.txt
"$QCONV" eval "$MODEL" --text short.txt || echo "short: $?"
"$QCONV" eval "$MODEL" --text "$MODEL/model.safetensors" || echo "binary: $?"
gzip -c "$ROOT/samples/generated-heldout.txt" | head -c 5000 >cut.gz
"$QCONV" eval "$MODEL" --text cut.gz || echo "cut: $?"
"$QCONV" eval "$MODEL" --text "$ROOT/samples/generated-heldout.txt" --against "$DATA/models/tiny-gpt-oss" || echo "vocabulary: $?"
printf 'not \377\376 UTF-8 ' >bytes.txt
"$QCONV" eval "$MODEL" --text bytes.txt --ctx 4 || echo "bytes: $?"
# as many tokens, but others
"$QCONV" eval "$MODEL" --text "$ROOT/samples/generated-heldout.txt" --ctx 64 --windows 2 --against "$DATA/models/tiny-llama" || echo "tokens: $?"
