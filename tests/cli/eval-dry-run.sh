# the arithmetic of the peak; past a limit activations are in a file, and below what is needed it is refused
TEXT=$ROOT/samples/generated-heldout.txt
"$QCONV" eval "$ROOT/samples/tiny-gemma3" --text "$TEXT" --dry-run --threads 2
"$QCONV" eval "$DATA/models/tiny-gpt-oss" --text "$TEXT" --against "$DATA/models/tiny-gpt-oss-bf16" --mem-limit 40M --dry-run --threads 2
"$QCONV" eval "$DATA/models/tiny-gpt-oss" --text "$TEXT" --mem-limit 4M --threads 2 || echo "$?"
"$QCONV" eval "$DATA/models/tiny-gpt-oss" --text "$TEXT" --mem-limit 24M --windows 4 --quiet --json >file.json
"$QCONV" eval "$DATA/models/tiny-gpt-oss" --text "$TEXT" --windows 4 --quiet --json >memory.json
cmp file.json memory.json
TMPDIR=/nonexistent "$QCONV" eval "$DATA/models/tiny-gpt-oss" --text "$TEXT" --mem-limit 24M --quiet || echo "$?"
