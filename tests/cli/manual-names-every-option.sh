# --help and the manual page know the same options, and the other way round
for command in '' inspect verify eval calibrate hash types split merge meta diff; do
	"$QCONV" $command --help | grep -oE '^  --[a-z-]+' | tr -d ' ' || true
done | sort -u >help.txt
grep -oE '^\.It Fl -[a-z-]+' "$ROOT/man/qconv.1" | sed 's/.*Fl -/--/' | sort -u >man.txt
diff help.txt man.txt
