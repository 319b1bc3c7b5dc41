# Scaled channels: what --awq needs, and what it says; the file is an ordinary one.
MODEL=$ROOT/samples/tiny-gemma3
TEXT=$ROOT/samples/generated-train.txt
try() { "$QCONV" "$MODEL" out.gguf --q q4_0 --awq --quiet "$@" || echo "code $?"; }
try
try --calib "$TEXT" --target-bpw 4.5
try --calib "$TEXT" --prune-layers 1
"$QCONV" "$MODEL" out.gguf --q q4_0 --awq --calib "$TEXT" --calib-windows 8 --calib-ctx 64 --method search 2>&1 |
	sed -n 's/[0-9]* of 24 inputs/N of 24 inputs/; s/[0-9.]* with them, [0-9.]* without: .*/X with them, Y without/; /^awq/,+1p' | head -1
"$QCONV" verify out.gguf --quiet
grep -c '"awq"' out.gguf.qconv.json
"$QCONV" "$MODEL" dir --q nf4 --awq --calib "$TEXT" --calib-windows 8 --calib-ctx 64 --method search --quiet
"$QCONV" verify dir --quiet
