/*
 * Measures whole processes, ours and the peer's in turn, and prints medians: bench QCONV PEER
 * LIBDIR HF_DIR F16_GGUF WORKDIR RUNS RECIPE...
 *
 * A recipe is a name of --q; with "+" behind it, both sides take the importance matrix
 * HF_DIR.imatrix; with "=", both take --pure.
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
#include <unistd.h>

#include "base/clock.h"
#include "tests/test.h"

enum { MAX_RUNS = 25, COPY_BYTES = 1 << 20 };

struct usage {
	double cpu, wall, rss;
};

struct series {
	struct usage runs[MAX_RUNS];
};

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
	double start = qc_seconds();
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
	return (struct usage){seconds(r.ru_utime) + seconds(r.ru_stime), qc_seconds() - start,
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

/* peer, copy: CPU seconds to compare with; 0: nothing. */
static void row(const char *what, const struct series *s, int n, double weights, double peer,
		double copy)
{
	double cpu = median(s, n, offsetof(struct usage, cpu));

	printf("  %-38s %8.2f %8.2f %9.2f %9.0f", what, cpu,
	       median(s, n, offsetof(struct usage, wall)), cpu * 1e9 / weights,
	       median(s, n, offsetof(struct usage, rss)));
	if (peer > 0)
		printf("   1/%-5.1f %5.1f", peer / cpu, cpu / copy);
	putchar('\n');
}

/* llama.h's llama_ftype */
static const struct {
	const char *name, *ftype;
} recipes[] = {
	{"q4_0", "2"},	  {"q4_1", "3"},    {"q8_0", "7"},    {"q5_0", "8"},	 {"q5_1", "9"},
	{"q2_k", "10"},	  {"q3_k_s", "11"}, {"q3_k_m", "12"}, {"q3_k_l", "13"},	 {"q4_k_s", "14"},
	{"q4_k_m", "15"}, {"q5_k_s", "16"}, {"q5_k_m", "17"}, {"q6_k", "18"},	 {"iq2_xxs", "19"},
	{"iq2_xs", "20"}, {"q2_k_s", "21"}, {"iq3_xs", "22"}, {"iq3_xxs", "23"}, {"iq1_s", "24"},
	{"iq4_nl", "25"}, {"iq3_s", "26"},  {"iq3_m", "27"},  {"iq2_s", "28"},	 {"iq2_m", "29"},
	{"iq4_xs", "30"}, {"iq1_m", "31"},  {"tq1_0", "36"},  {"tq2_0", "37"},
};

static const char *ftype_of(const char *recipe)
{
	for (size_t i = 0; i < sizeof(recipes) / sizeof(*recipes); i++)
		if (!strcmp(recipes[i].name, recipe))
			return recipes[i].ftype;
	NEED(false, "no recipe '%s'", recipe);
	return NULL;
}

/* Any command's row: bench row LABEL WEIGHTS RUNS COMMAND ARGS..., with the rate of its weights as
 * bf16. */
static int any(int argc, char **argv)
{
	static struct series s;
	double weights = atof(argv[3]), cpu, wall;
	int n = atoi(argv[4]);

	NEED(argc > 5 && weights > 0 && n > 0 && n <= MAX_RUNS,
	     "usage: bench row LABEL WEIGHTS RUNS COMMAND ...");
	for (int i = -1; i < n; i++)
		s.runs[i < 0 ? 0 : i] = run((const char *const *)(argv + 5), 0);
	cpu = median(&s, n, offsetof(struct usage, cpu));
	wall = median(&s, n, offsetof(struct usage, wall));
	printf("  %-38s %8.2f %8.2f %9.2f %9.0f   %.2f GB/s, %.2f GB per CPU second\n", argv[2],
	       cpu, wall, cpu * 1e9 / weights, median(&s, n, offsetof(struct usage, rss)),
	       2 * weights / wall * 1e-9, 2 * weights / cpu * 1e-9);
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

/* What one thread and two take: bench threads QCONV IN OUT RECIPE RUNS */
static int threads(char **argv)
{
	static struct series s[2];
	int n = atoi(argv[6]);
	double wall[2];

	NEED(n > 0 && n <= MAX_RUNS, "runs: 1 to %d", MAX_RUNS);
	for (int i = 0; i < 2 * n; i++) {
		const char *command[] = {argv[2],	    argv[3],	argv[4],     "--q",
					 argv[5],	    "--method", "reference", "--threads",
					 i % 2 ? "2" : "1", "--force",	"--quiet",   NULL};

		unlink(argv[4]); /* nobody pays for freeing the last one's output */
		s[i % 2].runs[i / 2] = run(command, 0);
	}
	for (int k = 0; k < 2; k++)
		wall[k] = median(&s[k], n, offsetof(struct usage, wall));
	printf("  %-38s %8.2f wall s with 1 thread, %.2f with 2: %.2f times as fast\n", argv[5],
	       wall[0], wall[1], wall[0] / wall[1]);
	return 0;
}

/* What the rows of one recipe share. */
struct bench {
	const char *qconv, *peer, *libdir, *hf, *gguf;
	char out[4096], source[4096], imatrix[4096];
	int n;
	double weights;
};

/* The five rows of a recipe; `variant` is '+', '=' or 0. */
static void measure(struct bench *b, const char *recipe, char variant)
{
	static struct series hf, gguf, search, peer, copy;
	const char *extra = variant == '+' ? "--imatrix" : variant == '=' ? "--pure" : NULL;
	const char *file = variant == '+' ? b->imatrix : NULL;
	const char *from_hf[] = {b->qconv,   b->hf,	  b->out,      "--q", recipe,
				 "--method", "reference", "--threads", "2",   "--force",
				 "--quiet",  extra,	  file,	       NULL};
	const char *from_gguf[] = {b->qconv,   b->gguf,	    b->out,	 "--q", recipe,
				   "--method", "reference", "--threads", "2",	"--force",
				   "--quiet",  extra,	    file,	 NULL};
	const char *searched[] = {b->qconv,   b->gguf,	b->out,	     "--q", recipe,
				  "--method", "search", "--threads", "2",   "--force",
				  "--quiet",  extra,	file,	     NULL};
	const char *theirs[] = {b->peer, b->libdir, b->gguf, b->out, ftype_of(recipe),
				"2",	 extra,	    file,    NULL};
	const char *bare[] = {NULL, b->source, b->out, NULL};
	double peer_cpu, copy_cpu;
	char label[64];

	for (int i = b->n > 1 ? -1 : 0; i < b->n; i++) { /* the first turn warms up */
		int k = i < 0 ? 0 : i;
		off_t bytes;

		/* nobody pays for freeing the last one's output */
		hf.runs[k] = run(from_hf, 0);
		bytes = file_size(b->out);
		unlink(b->out);
		peer.runs[k] = run(theirs, 0);
		unlink(b->out);
		gguf.runs[k] = run(from_gguf, 0);
		unlink(b->out);
		search.runs[k] = run(searched, 0);
		unlink(b->out);
		copy.runs[k] = run(bare, bytes);
		unlink(b->out);
	}
	peer_cpu = median(&peer, b->n, offsetof(struct usage, cpu));
	copy_cpu = median(&copy, b->n, offsetof(struct usage, cpu));
	snprintf(label, sizeof(label), "%s %s", recipe, extra ? extra : "");
	printf("  %s\n", label);
	row("  llama_model_quantize (f16 GGUF)", &peer, b->n, b->weights, 0, 0);
	row("  qconv, the same f16 GGUF", &gguf, b->n, b->weights, peer_cpu, copy_cpu);
	row("  qconv, the same f16 GGUF, search", &search, b->n, b->weights, peer_cpu, copy_cpu);
	row("  qconv, Hugging Face bf16", &hf, b->n, b->weights, peer_cpu, copy_cpu);
	row("  reading and writing alone", &copy, b->n, b->weights, 0, 0);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct bench b;

	if (argc > 4 && !strcmp(argv[1], "row"))
		return any(argc, argv);
	if (argc == 6 && !strcmp(argv[1], "memory"))
		return memory(argv);
	if (argc == 7 && !strcmp(argv[1], "threads"))
		return threads(argv);
	NEED(argc >= 9, "usage: bench QCONV PEER LIBDIR HF_DIR F16_GGUF WORKDIR RUNS RECIPE...");
	b.qconv = argv[1];
	b.peer = argv[2];
	b.libdir = argv[3];
	b.hf = argv[4];
	b.gguf = argv[5];
	b.n = atoi(argv[7]);
	NEED(b.n > 0 && b.n <= MAX_RUNS, "runs: 1 to %d", MAX_RUNS);
	snprintf(b.out, sizeof(b.out), "%s/out.gguf", argv[6]);
	snprintf(b.source, sizeof(b.source), "%s/model.safetensors", b.hf);
	snprintf(b.imatrix, sizeof(b.imatrix), "%s.imatrix", b.hf);
	b.weights = (double)file_size(b.source) / 2;
	printf("%.0f M weights, medians of %d, 2 threads, --method reference unless said; CPU and "
	       "wall in "
	       "seconds, CPU ns per weight, MiB resident, CPU time as a part of the peer's and as "
	       "a multiple of reading and writing alone\n",
	       b.weights * 1e-6, b.n);
	printf("  %-38s %8s %8s %9s %9s   %-7s %5s\n", "", "CPU", "wall", "ns/weight", "MiB",
	       "peer", "copy");
	for (int i = 8; i < argc; i++) {
		size_t len = strlen(argv[i]);
		char variant = len ? argv[i][len - 1] : 0, recipe[32];

		NEED(len < sizeof(recipe), "no recipe '%s'", argv[i]);
		if (variant == '+' || variant == '=')
			len--;
		else
			variant = 0;
		snprintf(recipe, sizeof(recipe), "%.*s", (int)len, argv[i]);
		measure(&b, recipe, variant);
	}
	return 0;
}
