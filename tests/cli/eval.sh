# perplexity and divergence of a quantized file; the numbers are rounded to what every processor agrees on
"$QCONV" "$ROOT/samples/tiny-gemma3" q4.gguf --q q4_0 --quiet
"$QCONV" eval "$ROOT/samples/tiny-gemma3" --text "$ROOT/samples/generated-heldout.txt" --ctx 256 --windows 8 --full --quiet |
	sed -e 's/\(\.[0-9][0-9][0-9]\)[0-9]*/\1/g'
gzip -c "$ROOT/samples/generated-heldout.txt" >text.gz
"$QCONV" eval q4.gguf --text text.gz --against "$ROOT/samples/tiny-gemma3" --ctx 128 --windows 8 --mem-limit 48M --quiet |
	sed -e 's/[-0-9.]*[0-9]\.[0-9][0-9.]*/N/g' -e 's/  *N/ N/g'
"$QCONV" eval q4.gguf --text text.gz --against "$ROOT/samples/tiny-gemma3" --ctx 128 --windows 2 --json --quiet |
	sed -e 's/: [-0-9.e]*\.[-0-9.e]*/: N/g'
