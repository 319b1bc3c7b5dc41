/*
 * Lint over any bytes: "N\n", N bytes of config.json, and the rest as model.safetensors in the same
 * directory (or, when it begins so, as a GGUF file). Whatever is in them, lint ends, with findings
 * or with an error that has a message.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/lint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_file(const char *path, const uint8_t *data, size_t size)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(data, 1, size, f) != size || fclose(f))
		abort();
}

static void run(const char *path)
{
	struct qconv_options options = {0};
	struct qc_findings findings;
	struct qc_err err = {0};

	if (qc_lint(&findings, path, &options, &err) && !err.text[0])
		abort();
	for (size_t i = 0; i < findings.n; i++)
		if (!*findings.list[i].rule || !*findings.list[i].loader)
			abort();
	qc_findings_clear(&findings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[] = "/tmp/qconv-lint-XXXXXX", config[64], model[64];
	size_t at = 0, n = 0;

	while (at < size && data[at] >= '0' && data[at] <= '9' && n < 1000000)
		n = n * 10 + (size_t)(data[at++] - '0');
	at += at < size;
	n = n < size - at ? n : size - at;
	if (!mkdtemp(dir))
		return 0;
	snprintf(config, sizeof(config), "%s/config.json", dir);
	snprintf(model, sizeof(model), "%s/model.safetensors", dir);
	write_file(config, data + at, n);
	at += n;
	if (size - at >= 4 && !memcmp(data + at, "GGUF", 4))
		snprintf(model, sizeof(model), "%s/model.gguf", dir);
	write_file(model, data + at, size - at);
	run(strstr(model, ".gguf") ? model : dir);
	unlink(config);
	unlink(model);
	rmdir(dir);
	return 0;
}
