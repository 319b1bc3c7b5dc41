# --calib where --imatrix would do: the same weights as of the file that 'calibrate' makes of the same windows
MODEL=$ROOT/samples/tiny-gemma3
TEXT=$ROOT/samples/generated-heldout.txt
"$QCONV" calibrate "$MODEL" --text "$TEXT" --full --ctx 128 -o im.gguf --quiet
"$QCONV" "$MODEL" a.gguf --q iq2_xxs --method search --calib "$TEXT" --calib-ctx 128 --calib-windows 1000000 --quiet
"$QCONV" "$MODEL" b.gguf --q iq2_xxs --method search --imatrix im.gguf --quiet
"$QCONV" diff a.gguf b.gguf --quiet | sed "s|$ROOT|ROOT|" || true
"$QCONV" "$MODEL" c.gguf --q iq2_xxs --method search --calib "$TEXT" --calib-ctx 128 --calib-windows 4 --dry-run | sed -n 's/^learns.*samples/learns   samples/p'
"$QCONV" "$MODEL" c --q nvfp4 --layout modelopt --act nvfp4 --method search --calib "$TEXT" --calib-ctx 128 --calib-windows 4 --quiet
"$QCONV" verify c --quiet
head -c 20000 c/model.safetensors | grep -a -o 'input_scale' | wc -l
# what GPTQ holds out is not learnt from
"$QCONV" "$MODEL" d --q nvfp4 --layout modelopt --act nvfp4 --calib "$TEXT" --calib-ctx 128 --calib-windows 16 --dry-run | sed -n 's/^learns.*samples/learns   samples/p'
# the text is read before anything is done, and a limit holds
"$QCONV" "$MODEL" d.gguf --q iq2_xxs --calib /dev/null || echo "exit $?"
"$QCONV" "$MODEL" d.gguf --q q4_0 --method search --calib "$TEXT" --mem-limit 3M --threads 1 || echo "exit $?"
ls
