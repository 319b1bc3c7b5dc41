/*
 * qconv.h - the public face of libqconv: convert, quantize and verify model files.
 *
 * Every function returns a qconv code (also the program's exit code): 0 done, 1 failed, 2 the
 * options make no sense, 3 a verification found a difference, 4 refused because data would be lost,
 * 130 interrupted. On a code other than 0, *error holds one line of text. Nothing is printed;
 * nothing exits. Calls on different files may run at the same time in different threads.
 */
#ifndef QCONV_H
#define QCONV_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum qconv_code {
	QCONV_DONE = 0,
	QCONV_FAILED = 1,
	QCONV_USAGE = 2,
	QCONV_DIFFERENT = 3,
	QCONV_REFUSED = 4,
	QCONV_INTERRUPTED = 130,
};

struct qconv_error {
	int code;
	char text[640];
};

/* Where a running conversion stands. Called from one thread at a time, in output order. */
struct qconv_progress {
	const char *phase;     /* "measure", "convert", "read back", "hash", "verify" */
	const char *tensor;    /* the tensor being written; NULL outside "convert" */
	const char *from, *to; /* type names */
	uint64_t tensor_index, n_tensors;
	uint64_t bytes_done,
		bytes_total; /* of the phase: source bytes when converting, file bytes otherwise */
};

/* Zero-initialise, then set what matters. */
struct qconv_options {
	const char *quant;	 /* recipe or type name; NULL keeps the source's precision */
	const char *method;	 /* "search" or "reference"; NULL = "search" */
	const char *recipe_file; /* lines of `regex = type  # comment`; NULL */
	const char *const *tensor_rules; /* "REGEX=TYPE"; come before the recipe file's */
	size_t n_tensor_rules;
	const char *const *loras; /* "DIR[:SCALE]": PEFT adapters to merge, in this order */
	size_t n_loras;
	bool lora_only; /* write the one adapter itself, not the model */
	/* Outputs that are safetensors. */
	const char *layout;	  /* "modelopt", "compressed-tensors", "gpt-oss"; NULL: the first */
	const char *const *skips; /* regular expressions of tensors that stay as they are */
	size_t n_skips;
	uint64_t shard_bytes; /* of tensors in one file of a directory; 0 = 5 GB */
	int blocksize;	      /* nf4 and fp4; 0 = 64 */
	bool double_quant;    /* nf4 and fp4: their scales in 8 bits */

	bool pure;	    /* every matrix the type itself */
	bool strict;	    /* refuse drops */
	bool force;	    /* replace an existing output */
	bool no_manifest;   /* write no OUT.qconv.json */
	int threads;	    /* 0 = one per processor */
	uint64_t mem_limit; /* bytes; 0 = none: refuse a plan whose peak is above */
	void (*progress)(const struct qconv_progress *progress, void *user);
	void *user;
	const volatile sig_atomic_t
		*stop; /* set to nonzero (by a signal handler) to interrupt; NULL */
};

struct qconv_summary {
	uint64_t n_tensors, n_weights;
	uint64_t source_bytes, output_bytes;
	double seconds;
	char xxh3_128[33]; /* of the whole output file */
};

const char *qconv_version(void); /* "0.1.0" */

/* Convert `input` (a Hugging Face directory, a .safetensors or a .gguf) into `output` (a .gguf, a
 * .safetensors or, without such an ending, a Hugging Face directory). `summary` may be NULL. */
int qconv_convert(const char *input, const char *output, const struct qconv_options *options,
		  struct qconv_summary *summary, struct qconv_error *error);

/* Check `output`'s structure and, when OUT.qconv.json stands beside it, its hashes. */
int qconv_verify(const char *output, const struct qconv_options *options,
		 struct qconv_error *error);

#ifdef __cplusplus
}
#endif

#endif
