# samples/logits.c, built from the public header alone
"$BUILD/logits" "$ROOT/samples/tiny-gemma3" 'KING RICHARD' | sed -n -e '1,3s/\.[0-9]*//p'
"$BUILD/logits" "$ROOT/samples/no-such-model" text || echo "$?"
