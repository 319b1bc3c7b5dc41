# an importance matrix from a text, the files that are made with it, and matrices put together; what may differ between processors is masked
MODEL=$DATA/models/tiny-gpt-oss-bf16
TEXT=$ROOT/samples/generated-heldout.txt
mask() { sed -e 's/[0-9]* *[0-9.]*%/N/' -e 's/exps.weight *[0-9]* /exps.weight E /' -e 's/blk\.[0-9]/blk.B/'; }
"$QCONV" calibrate "$MODEL" --text "$TEXT" --ctx 64 --windows 16 -o stats.gguf --dry-run --threads 2
"$QCONV" calibrate "$MODEL" --text "$TEXT" --ctx 64 --windows 16 -o stats.gguf 2>/dev/null | mask
"$QCONV" inspect stats.gguf | sed -n 1,8p
"$QCONV" calibrate "$MODEL" --text "$TEXT" --ctx 64 --windows 16 -o stats.gguf || echo "there: $?"
"$QCONV" calibrate "$MODEL" --text "$TEXT" --ctx 64 --windows 4 -o stats.dat --process-output --quiet
"$QCONV" calibrate --in stats.gguf --in stats.dat --ctx 64 -o both.gguf --json |
	sed -e 's/blk\.[0-9]/blk.B/' -e 's/"expert": [0-9]*, "tokens": [0-9]*, "of_mean": [0-9.]*/"expert": N/'
"$QCONV" "$MODEL" out.gguf --q q4_k_m --imatrix both.gguf --quiet
"$QCONV" inspect out.gguf | grep imatrix
"$QCONV" "$MODEL" out --q mxfp4 --imatrix stats.dat --dry-run | sed -n 's/^imatrix/&/p'
ls
