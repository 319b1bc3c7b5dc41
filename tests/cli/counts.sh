# numbers of things are whole and at least 1; options of one kind of evaluation are not passed over in the other
MODEL=$ROOT/samples/tiny-gemma3
TEXT=$ROOT/samples/generated-heldout.txt
try() { "$QCONV" "$@" || echo "$?"; }
try eval "$MODEL" --text "$TEXT" --windows 0
try eval "$MODEL" --text "$TEXT" --ctx 1K
try eval "$MODEL" --prompt 'To be' -n -1
try calibrate "$MODEL" --text "$TEXT" -o stats.gguf --ctx 18446744073709551616
try "$MODEL" out.gguf --calib "$TEXT" --calib-windows 8.5
try eval "$MODEL" --text "$TEXT" -n 4
try eval "$MODEL" --prompt 'To be' --json
try eval "$MODEL" --prompt 'To be' --against "$MODEL"
ls
