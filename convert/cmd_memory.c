/* What running a model takes, for people: the arithmetic of --dry-run. */
#include <inttypes.h>
#include <string.h>

#include "calib/forward.h"
#include "convert/cli.h"

static void print_line(const char *name, uint64_t bytes, const char *what)
{
	char size[16];

	printf("  %-9s %8s%s%s\n", name, cli_bytes(bytes, size, sizeof(size)), *what ? "  " : "",
	       what);
}

void cli_print_memory(const char *heading, const struct qc_forward_plan *plan)
{
	char states[96] = "activations of all windows", size[16];

	if (plan->spilled)
		snprintf(states, sizeof(states),
			 "activations of some windows; those of all, %s, in a temporary file",
			 cli_bytes(plan->spilled, size, sizeof(size)));
	cli_print_text(stdout, heading, strlen(heading));
	putchar('\n');
	print_line("weights", plan->weights,
		   "the largest half of a block, or an expert, as floats");
	print_line("states", plan->states, states);
	print_line("work", plan->work, "between the products of a half");
	if (plan->head)
		print_line("head", plan->head, "the output head, or a part of it, as floats");
	if (plan->logits)
		print_line("logits", plan->logits, "of as many tokens as are scored at a time");
	print_line("sum", plan->peak, "");
}

enum qc_status cli_check_memory(uint64_t peak, uint64_t limit, struct qc_err *err)
{
	if (!limit || peak <= limit)
		return QC_OK;
	return qc_fail(err, QC_UNSUPPORTED,
		       "--mem-limit: %" PRIu64 " bytes of memory are needed, %" PRIu64
		       " are allowed; a smaller --ctx or fewer --threads need less",
		       peak, limit);
}
