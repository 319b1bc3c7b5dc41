/*
 * Measures whole processes, ours and the peer's in turn, and prints medians: bench QCONV PEER
 * LIBDIR HF_DIR F16_GGUF WORKDIR RUNS
 *
 * CPU time is user + system of the process as the kernel accounts it, memory its largest resident
 * set. Nothing is judged.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/test.h"

enum { MAX_RUNS = 25, COPY_BYTES = 1 << 20 };

struct usage {
	double cpu, wall, rss;
};

struct series {
	struct usage runs[MAX_RUNS];
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

/* Read all of `from` and write `bytes` bytes to `to`: the least that any converter does. */
static void only_copy(const char *from, const char *to, off_t bytes)
{
	char *block = calloc(1, COPY_BYTES);
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (!block || in < 0 || out < 0)
		_exit(1);
	while (read(in, block, COPY_BYTES) > 0)
		;
	for (; bytes > 0; bytes -= COPY_BYTES)
		if (write(out, block, bytes < COPY_BYTES ? (size_t)bytes : COPY_BYTES) < 0)
			_exit(1);
	_exit(0);
}

/* argv[0] NULL: only_copy(argv[1], argv[2]) of `bytes`. */
static struct usage run(const char *const *argv, off_t bytes)
{
	double start = now();
	struct rusage r;
	int status;
	pid_t pid;

	pid = fork();
	NEED(pid >= 0, "cannot fork");
	if (!pid) {
		if (!argv[0])
			only_copy(argv[1], argv[2], bytes);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	NEED(wait4(pid, &status, 0, &r) == pid, "cannot wait");
	NEED(WIFEXITED(status) && !WEXITSTATUS(status), "%s %s failed", argv[0] ? argv[0] : "copy",
	     argv[1]);
	return (struct usage){seconds(r.ru_utime) + seconds(r.ru_stime), now() - start,
			      (double)r.ru_maxrss / 1024};
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const struct series *s, int n, size_t field)
{
	double values[MAX_RUNS];

	for (int i = 0; i < n; i++)
		memcpy(&values[i], (const char *)&s->runs[i] + field, sizeof(double));
	qsort(values, (size_t)n, sizeof(double), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static off_t file_size(const char *path)
{
	struct stat st;

	NEED(!stat(path, &st), "no %s", path);
	return st.st_size;
}

static void row(const char *what, const struct series *s, int n, double weights, double peer)
{
	double cpu = median(s, n, offsetof(struct usage, cpu));

	printf("  %-34s %8.2f %8.2f %9.2f %9.0f", what, cpu,
	       median(s, n, offsetof(struct usage, wall)), cpu * 1e9 / weights,
	       median(s, n, offsetof(struct usage, rss)));
	if (peer > 0)
		printf("   1/%.1f", peer / cpu);
	putchar('\n');
}

static const struct {
	const char *name, *ftype;
} recipes[] = {{"q8_0", "7"}, {"q4_0", "2"}, {"q4_k_m", "15"}, {"q5_k_m", "17"}, {"q6_k", "18"}};

/* Any command's row: bench row LABEL WEIGHTS RUNS COMMAND ARGS..., with the rate of its weights as
 * bf16. */
static int any(int argc, char **argv)
{
	static struct series s;
	double weights = atof(argv[3]);
	int n = atoi(argv[4]);

	NEED(argc > 5 && weights > 0 && n > 0 && n <= MAX_RUNS,
	     "usage: bench row LABEL WEIGHTS RUNS COMMAND ...");
	for (int i = -1; i < n; i++)
		s.runs[i < 0 ? 0 : i] = run((const char *const *)(argv + 5), 0);
	printf("  %-34s %8.2f %8.2f %9.2f %9.0f   %.2f GB/s\n", argv[2],
	       median(&s, n, offsetof(struct usage, cpu)),
	       median(&s, n, offsetof(struct usage, wall)),
	       median(&s, n, offsetof(struct usage, cpu)) * 1e9 / weights,
	       median(&s, n, offsetof(struct usage, rss)),
	       2 * weights / median(&s, n, offsetof(struct usage, wall)) * 1e-9);
	return 0;
}

/* The largest resident set of one conversion: bench memory QCONV MODEL OUT RECIPE */
static int memory(char **argv)
{
	const char *command[] = {argv[2],     argv[3], argv[4],	  "--q",     argv[5],
				 "--threads", "2",     "--force", "--quiet", NULL};
	struct usage usage = run(command, 0);

	printf("  %-34s %8.2f CPU s, %.0f MiB\n", argv[5], usage.cpu, usage.rss);
	return 0;
}

int main(int argc, char **argv)
{
	static struct series hf, gguf, peer, copy;
	char out[4096], source[4096];
	int n;
	double weights;

	if (argc > 4 && !strcmp(argv[1], "row"))
		return any(argc, argv);
	if (argc == 6 && !strcmp(argv[1], "memory"))
		return memory(argv);
	NEED(argc == 8, "usage: bench QCONV PEER LIBDIR HF_DIR F16_GGUF WORKDIR RUNS");
	n = atoi(argv[7]);
	NEED(n > 0 && n <= MAX_RUNS, "runs: 1 to %d", MAX_RUNS);
	snprintf(out, sizeof(out), "%s/out.gguf", argv[6]);
	snprintf(source, sizeof(source), "%s/model.safetensors", argv[4]);
	weights = (double)file_size(source) / 2;
	printf("%.0f M weights, medians of %d, 2 threads; CPU and wall in seconds, CPU ns per "
	       "weight, MiB resident, CPU time as a "
	       "part of the peer's\n",
	       weights * 1e-6, n);
	printf("  %-34s %8s %8s %9s %9s\n", "", "CPU", "wall", "ns/weight", "MiB");
	for (size_t r = 0; r < sizeof(recipes) / sizeof(*recipes); r++) {
		const char *from_hf[] = {
			argv[1],     argv[4],	  out, "--q",	  recipes[r].name, "--method",
			"reference", "--threads", "2", "--force", "--quiet",	   NULL};
		const char *from_gguf[] = {
			argv[1],     argv[5],	  out, "--q",	  recipes[r].name, "--method",
			"reference", "--threads", "2", "--force", "--quiet",	   NULL};
		const char *theirs[] = {argv[2],	  argv[3], argv[5], out,
					recipes[r].ftype, "2",	   NULL};
		const char *bare[] = {NULL, source, out, NULL};
		char label[64];
		double cpu;

		for (int i = -1; i < n; i++) { /* the first turn warms up */
			int k = i < 0 ? 0 : i;
			off_t bytes;

			/* nobody pays for freeing the last one's output */
			hf.runs[k] = run(from_hf, 0);
			bytes = file_size(out);
			unlink(out);
			peer.runs[k] = run(theirs, 0);
			unlink(out);
			gguf.runs[k] = run(from_gguf, 0);
			unlink(out);
			copy.runs[k] = run(bare, bytes);
			unlink(out);
		}
		cpu = median(&peer, n, offsetof(struct usage, cpu));
		snprintf(label, sizeof(label), "%s: llama_model_quantize (f16)", recipes[r].name);
		row(label, &peer, n, weights, 0);
		snprintf(label, sizeof(label), "%s: qconv, Hugging Face bf16", recipes[r].name);
		row(label, &hf, n, weights, cpu);
		snprintf(label, sizeof(label), "%s: qconv, the same f16 GGUF", recipes[r].name);
		row(label, &gguf, n, weights, cpu);
		snprintf(label, sizeof(label), "%s: reading and writing alone", recipes[r].name);
		row(label, &copy, n, weights, cpu);
		fflush(stdout);
	}
	unlink(out);
	return 0;
}
