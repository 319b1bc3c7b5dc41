/*
 * qconv.h - the public face of libqconv: convert, quantize, verify and run model files.
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
	const char *phase;  /* "measure", "calibrate", "convert", "read back", "hash", "verify" */
	const char *tensor; /* the tensor being written; NULL outside "convert" */
	const char *from, *to; /* what it is stored as, "bitsandbytes nf4" or "bf16", and will be */
	uint64_t tensor_index, n_tensors;
	uint64_t bytes_done, bytes_total; /* of the phase: source bytes when converting, blocks of
					     the model when calibrating, file bytes otherwise */
};

/* Zero-initialise, then set what matters. */
struct qconv_options {
	const char *quant; /* recipe or type name; NULL keeps the source's precision */
	/* "reference", "search", or, with a text, "gptq"; NULL = "gptq" with one, "search" without
	 */
	const char *method;
	const char *recipe_file;	 /* lines of `regex = type  # comment`; NULL */
	const char *const *tensor_rules; /* "REGEX=TYPE"; come before the recipe file's */
	size_t n_tensor_rules;
	const char *const *loras; /* "DIR[:SCALE]": PEFT adapters to merge, in this order */
	size_t n_loras;
	bool lora_only;	     /* write the one adapter itself, not the model */
	const char *imatrix; /* weights of importance, of `qconv calibrate` or llama.cpp; NULL */
	const char *act; /* "nvfp4", with that quant: scales of activations, from imatrix or calib;
			    NULL */
	/* Outputs that are GGUF. */
	const char *output_type, *embedding_type; /* types of the head and the token embedding */
	bool leave_output;			  /* output.weight stays as it is */
	const char *prune_layers;		  /* "3,7,8": blocks to leave out; NULL */
	const char *const *overrides;		  /* "KEY=TYPE:VALUE": metadata to set */
	const char *const *included, *const *excluded; /* parts of names of imatrix entries */
	size_t n_overrides, n_included, n_excluded;
	/* GGUF: write a set, NAME-00001-of-0000N.gguf for NAME.gguf. A file takes tensors up to
	 * this size (of each padded to 32 bytes), and so many; 0 = no such limit. */
	uint64_t split_bytes, split_tensors;
	/* Outputs that are safetensors. */
	const char *layout;	  /* "modelopt", "compressed-tensors", "gpt-oss"; NULL: the first */
	const char *const *skips; /* regular expressions of tensors that stay as they are */
	size_t n_skips;
	uint64_t shard_bytes; /* of tensors in one file of a directory; 0 = 5 GB */
	int blocksize;	      /* nf4 and fp4; 0 = 64 */
	bool double_quant;    /* nf4 and fp4: their scales in 8 bits */

	const char *calib;	 /* text to calibrate on, or to learn weights from; NULL */
	bool no_bias_correction; /* with calib biases stay as they are */
	bool calib_gradients;	 /* outputs count by the gradients of the predictions at them */
	bool awq; /* scale input channels by what calib shows, and what makes them inversely */
	uint64_t calib_windows, calib_ctx; /* of that text, and tokens in each; 0 = 256, 512 */

	/* Sizes to reach by choosing every matrix' type (GGUF); 0 = none. */
	double target_bpw;     /* bits per weight of all tensors */
	uint64_t target_bytes; /* of the file */
	const char *ladder;    /* types to choose from, commas between; NULL = the usual ones */

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

/*
 * Running a model on the CPU, in f32, from any input that qconv_convert() reads.
 */
struct qconv_model;

/* Zero-initialise, then set what matters. */
struct qconv_run_options {
	int threads;	    /* 0 = one per processor */
	uint64_t mem_limit; /* bytes; activations go to a temporary file past it; 0 = none */
	const char *act;    /* round activations as kernels do: "nvfp4", "fp8"; NULL = no */
	const volatile sig_atomic_t *stop; /* as in qconv_options; borrowed until the close */
};

/* *model is the caller's, for qconv_close(). One thread at a time may use it. Fails where the
 * architecture is not one that qconv computes, or it has no tokenizer. `options` may be NULL. */
int qconv_open(struct qconv_model **model, const char *path,
	       const struct qconv_run_options *options, struct qconv_error *error);
void qconv_close(struct qconv_model *model); /* NULL is allowed */

size_t qconv_vocab_size(const struct qconv_model *model);
/* Whether a text ends with this token: end of sequence, of turn, of message. */
bool qconv_is_end(const struct qconv_model *model, uint32_t id);

/* The ids of `len` bytes of text with the model's BOS in front, where it has one; spellings of
 * control tokens ("<bos>") are those tokens. *ids: *n of them, for the caller to free(). */
int qconv_tokenize(const struct qconv_model *model, const char *text, size_t len, uint32_t **ids,
		   size_t *n, struct qconv_error *error);
/* The text of n ids, without control tokens: *len bytes and a NUL, for the caller to free(). */
int qconv_detokenize(const struct qconv_model *model, const uint32_t *ids, size_t n, char **text,
		     size_t *len, struct qconv_error *error);

/* The logits that follow positions first .. n - 1 of `ids`: logits[(n - first) * vocab_size], the
 * caller's. All n ids are computed each time; memory is what qconv_run_bytes() says. */
int qconv_forward(struct qconv_model *model, const uint32_t *ids, size_t n, size_t first,
		  float *logits, struct qconv_error *error);
/* Bytes of activations and decoded weights that qconv_forward() takes for n ids. */
uint64_t qconv_run_bytes(const struct qconv_model *model, size_t n);

/*
 * A text that grows: keys and values of its tokens are kept, so that only new ones are computed.
 */
struct qconv_session;

/* What a session takes, in bytes, beside the model; the same arithmetic as --dry-run prints. */
struct qconv_session_memory {
	uint64_t cache;	  /* keys and values of all tokens */
	uint64_t kept;	  /* weights that stay decoded ... */
	uint64_t weights; /* ... of so many: others are decoded again for each call */
	uint64_t work;	  /* activations, weights that do not stay, logits */
	uint64_t peak;	  /* the sum of cache, kept and work */
};
void qconv_session_memory(const struct qconv_model *model, size_t most,
			  struct qconv_session_memory *memory);

/* For at most `most` tokens. *session is the caller's, for qconv_session_close() before
 * qconv_close(). Weights stay decoded until qconv_close(), as many as fit into the model's
 * mem_limit, without one into half of the machine's memory. Several sessions of one model may be
 * used in turn. */
int qconv_session_open(struct qconv_session **session, struct qconv_model *model, size_t most,
		       struct qconv_error *error);
void qconv_session_close(struct qconv_session *session); /* NULL is allowed */
/* Tokens that were appended. */
size_t qconv_session_length(const struct qconv_session *session);

/* Append n ids. logits[(n - first) * vocab_size], the caller's: those that follow ids first .. n -
 * 1 of these n, as qconv_forward() of the whole text has them (within rounding); first = n: none.
 * On failure the session has what it had. */
int qconv_session_append(struct qconv_session *session, const uint32_t *ids, size_t n, size_t first,
			 float *logits, struct qconv_error *error);

#ifdef __cplusplus
}
#endif

#endif
