"$QCONV" --help
for command in inspect verify eval hash types split merge meta diff; do
	echo
	"$QCONV" $command --help
done
