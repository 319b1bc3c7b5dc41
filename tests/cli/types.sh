"$QCONV" types | sed '/^  name  /,$d' # tests/types_table.sh looks at the table
"$QCONV" types --measure | awk '/^  name / { n = NF } /^  q4_K / { if (NF == n - 1) print "measured" }'
