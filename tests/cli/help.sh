"$QCONV" --help
for command in inspect verify eval hash types; do
	echo
	"$QCONV" $command --help
done
