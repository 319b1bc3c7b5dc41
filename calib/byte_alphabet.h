/* GPT-2's alphabet: a printable character for every byte, in which byte-level BPE vocabularies are
 * written. */
#ifndef QC_CALIB_BYTE_ALPHABET_H
#define QC_CALIB_BYTE_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The character of a byte in UTF-8; returns its length, 1 or 2. */
size_t qc_byte_character(uint8_t byte, char out[4]);

/* The bytes that `len` bytes of such characters stand for, at most `len` of them; false when there
 * is a character that is not of the alphabet. */
bool qc_bytes_of_characters(const char *text, size_t len, char *bytes, size_t *n_bytes);

#endif
