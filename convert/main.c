/* The program: signals, and which command. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "calib/linalg.h"
#include "convert/cli.h"
#include "convert/meta_edit.h"

volatile sig_atomic_t cli_stop;

/* The first signal asks the work to stop and clean up; the second one ends the process as usual. */
static void on_signal(int number)
{
	cli_stop = number;
	signal(number, SIG_DFL);
}

static void set_signals(void)
{
	static const int stops[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < sizeof(stops) / sizeof(*stops); i++) {
		struct sigaction action = {.sa_handler = on_signal};
		sigemptyset(&action.sa_mask);
		sigaction(stops[i], &action, NULL);
	}
	/* a closed pipe or a file-size limit arrives as EPIPE or EFBIG, with a message */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

static const struct cli_command *find_command(const char *name)
{
	for (const struct cli_command *const *command = cli_commands; *command; command++)
		if ((*command)->name && !strcmp((*command)->name, name))
			return *command;
	return NULL;
}

/* 'qconv meta' puts them right; whoever only reads them should know. */
static void warn_of_interrupted_edits(const struct cli_args *args)
{
	for (int i = 0; i < args->n_operands; i++)
		if (qc_meta_edit_interrupted(args->operands[i]))
			cli_warn("'%s': an edit in place was interrupted, its header may be torn: "
				 "the next edit with 'qconv meta' puts the old one back first",
				 args->operands[i]);
}

int main(int argc, char **argv)
{
	const struct cli_command *command = argc > 1 ? find_command(argv[1]) : NULL;
	struct cli_args args;
	int code;

	qc_linalg_end_threads();
	set_signals();
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("qconv %s\n", qconv_version());
		return cli_finish(0);
	}
	if (argc == 1) {
		cli_help(&cli_convert, stderr);
		return QCONV_USAGE;
	}
	if (command) {
		argc--;
		argv++;
	} else {
		command = &cli_convert;
	}
	if (!cli_parse(command, argc, argv, &args)) {
		code = QCONV_USAGE;
	} else if (args.help) {
		cli_help(command, stdout);
		code = QCONV_DONE;
	} else {
		args.options.stop = &cli_stop;
		if (command != &cli_meta)
			warn_of_interrupted_edits(&args);
		code = command->run(&args);
	}
	cli_args_clear(&args);
	return cli_finish(code);
}
