/* Progress: one updating line on a terminal, plain lines in a log; always on stderr. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "convert/cli.h"

void cli_progress_start(struct cli_progress *progress, bool quiet)
{
	const char *term = getenv("TERM");

	memset(progress, 0, sizeof(*progress));
	progress->quiet = quiet;
	progress->terminal = isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
	progress->started = qc_seconds();
}

/* A new phase starts its own clock and its own tenths. */
static void enter_phase(struct cli_progress *progress, const char *phase, double time)
{
	progress->phase = phase;
	progress->started = time;
	progress->last_shown = 0;
	progress->last_tenth = 0;
}

static void format_line(const struct qconv_progress *state, double seconds, char *line, size_t size)
{
	double part =
		state->bytes_total ? (double)state->bytes_done / (double)state->bytes_total : 1;
	double rate = seconds > 0 ? (double)state->bytes_done / seconds * 1e-9 : 0;
	double left = part > 0 ? seconds * (1 - part) / part : 0;
	char what[112], speed[32] = "";

	if (state->tensor)
		snprintf(what, sizeof(what), "[%llu/%llu] %.63s %s -> %s",
			 (unsigned long long)state->tensor_index + 1,
			 (unsigned long long)state->n_tensors, state->tensor, state->from,
			 state->to);
	else
		snprintf(what, sizeof(what), "%s", state->phase);
	for (char *c = what; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	/* calibration counts blocks */
	if (strcmp(state->phase, "calibrate"))
		snprintf(speed, sizeof(speed), "  %.2f GB/s", rate);
	snprintf(line, size, "%s%s  %.0f%%  ETA %d:%02d", what, speed, part * 100, (int)left / 60,
		 (int)left % 60);
}

void cli_progress_show(const struct qconv_progress *state, void *user)
{
	struct cli_progress *progress = user;
	double time = qc_seconds();
	unsigned tenth =
		state->bytes_total ? (unsigned)(state->bytes_done * 10.0 / state->bytes_total) : 10;
	char line[192];

	if (progress->quiet)
		return;
	if (!progress->phase || strcmp(progress->phase, state->phase))
		enter_phase(progress, state->phase, time);
	if (progress->terminal ? time - progress->last_shown < 0.1 : tenth <= progress->last_tenth)
		return;
	progress->last_shown = time;
	progress->last_tenth = tenth;
	format_line(state, time - progress->started, line, sizeof(line));
	if (progress->terminal) {
		fprintf(stderr, "\r%s\033[K", line);
		fflush(stderr);
		progress->line_open = true;
	} else {
		fprintf(stderr, "%s\n", line);
	}
}

void cli_progress_end(struct cli_progress *progress)
{
	if (progress->line_open)
		fputs("\r\033[K", stderr);
	progress->line_open = false;
}
