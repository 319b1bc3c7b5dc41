# What calibration refuses; nothing is written.
head -c 400 "$ROOT/samples/generated-train.txt" > short
: > empty
head -c 3000 "$ROOT/samples/generated-train.txt" > text
try() { "$QCONV" "$ROOT/samples/tiny-gemma3" out.gguf --q q4_0 --quiet "$@" || echo "code $?"; }
try --method gptq
try --calib missing
try --calib empty
try --calib short --calib-ctx 256
try --calib text --calib-ctx 256
try --calib text --calib-ctx 1
try --calib-gradients
try --calib text --calib-gradients --method search
"$QCONV" "$ROOT/tests/data/models/tiny-gpt-oss-bf16" out.gguf --q q4_0 --quiet --calib text --calib-ctx 64 --calib-gradients --dry-run ||
	echo "code $?"
ls
