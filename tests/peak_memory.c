/* The most memory that a command had resident at one time: peak_memory [-t] COMMAND ARGUMENT ...
 * prints it in KiB on stdout, with -t the seconds of CPU time behind it; the command's own stdout
 * goes to stderr. Exits as the command did. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rusage usage;
	const int timed = argc > 1 && !strcmp(argv[1], "-t");
	int status;
	pid_t child;

	argv += timed;
	child = argc - timed > 1 ? fork() : -1;

	if (!child) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &usage) != child) {
		fprintf(stderr, "usage: peak_memory [-t] COMMAND ARGUMENT ...\n");
		return 1;
	}
	printf("%ld", usage.ru_maxrss);
	if (timed)
		printf(" %.2f",
		       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			       1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
	puts("");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
