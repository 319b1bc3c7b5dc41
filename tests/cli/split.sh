# a set and back: the very file; the names and the sizes are the ones that were asked for
"$QCONV" "$DATA/models/tiny-llama" one.gguf --q q4_0 --quiet
"$QCONV" split one.gguf set --split-max-size 1M --dry-run
"$QCONV" split one.gguf set --split-max-size 1M --threads 2 --quiet
"$QCONV" merge set-00002-of-00003.gguf back.gguf --quiet
cmp one.gguf back.gguf
ls
# every file of the set stands for it; the manifest stands beside the first
"$QCONV" verify set-00001-of-00003.gguf --against one.gguf --tolerance 0 --quiet | head -n 3
"$QCONV" verify set-00003-of-00003.gguf --quiet | head -n 2
"$QCONV" inspect set-00002-of-00003.gguf | sed -n 1,3p
"$QCONV" diff one.gguf set-00001-of-00003.gguf --quiet
# the conversion itself writes the same files
"$QCONV" "$DATA/models/tiny-llama" set2.gguf --q q4_0 --split-max-size 1M --quiet
for i in 1 2 3; do cmp set-0000$i-of-00003.gguf set2-0000$i-of-00003.gguf; done
"$QCONV" split one.gguf few --split-max-tensors 20 --dry-run
# all or none
"$QCONV" split one.gguf set --split-max-size 1M --quiet || echo "code $?"
rm set-00001-of-00003.gguf
"$QCONV" split one.gguf set --split-max-size 1M --quiet || echo "code $?"
ls set-*
"$QCONV" split one.gguf set --split-max-size 1M --quiet --force
printf x | dd of=set-00002-of-00003.gguf bs=1 seek=100000 conv=notrunc status=none
"$QCONV" verify set-00001-of-00003.gguf --quiet >/dev/null || echo "code $?"
