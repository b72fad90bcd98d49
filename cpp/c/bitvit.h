/* bitvit in C: run 1-bit vision transformers from .bitvit files.
 *
 *   bitvit_model* model;
 *   bitvit_error error;
 *   if (bitvit_load_file("photos.bitvit", NULL, &model, &error) != BITVIT_OK) { puts(error.message); return 1; }
 *   bitvit_image image = {pixels, width, height, 3, 0, 1};
 *   bitvit_ranked best;
 *   if (bitvit_predict(model, &image, &best, 1, &error) == BITVIT_OK) puts(bitvit_label(model, best.index));
 *   bitvit_free(model);
 *
 * The logits are those of Python and of browsers to the last bit, on every processor, for every number of threads.
 *
 * Functions that can fail return a code and, if `error` is not NULL, fill it. No exception leaves a function, and none
 * ends the process: if memory runs out, the code is BITVIT_ERROR_OUT_OF_MEMORY. A library that was built without
 * exceptions (WebAssembly) is the exception: there the program ends.
 *
 * A model never changes. Any number of threads may use one at the same time, until it is freed. Pointers that functions
 * return belong to the model. Text is UTF-8.
 */
#ifndef BITVIT_H
#define BITVIT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(BITVIT_SHARED)
#if defined(BITVIT_BUILDING)
#define BITVIT_API __declspec(dllexport)
#else
#define BITVIT_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define BITVIT_API __attribute__((visibility("default")))
#else
#define BITVIT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* One code for each rule that a file or a call can violate: docs/format.md, Errors. */
typedef enum bitvit_code {
  BITVIT_OK = 0,
  BITVIT_ERROR_UNREADABLE_FILE,
  BITVIT_ERROR_NOT_A_BITVIT_FILE,
  BITVIT_ERROR_TRUNCATED_FILE,
  BITVIT_ERROR_CHECKSUM,
  BITVIT_ERROR_NEWER_FORMAT,
  BITVIT_ERROR_OLDER_FORMAT,
  BITVIT_ERROR_METADATA,
  BITVIT_ERROR_SIZE_LIMIT,
  BITVIT_ERROR_VALUE_DEFINITION,
  BITVIT_ERROR_UNKNOWN_TYPE,
  BITVIT_ERROR_UNKNOWN_OPERATOR,
  BITVIT_ERROR_OPERAND,
  BITVIT_ERROR_OPERATOR_ATTRIBUTE,
  BITVIT_ERROR_OPERATOR_PARAMETER,
  BITVIT_ERROR_MISSING_TENSOR,
  BITVIT_ERROR_UNUSED_TENSOR,
  BITVIT_ERROR_TENSOR_TYPE,
  BITVIT_ERROR_TENSOR_SHAPE,
  BITVIT_ERROR_NON_FINITE,
  BITVIT_ERROR_TENSOR_CONTENT,
  BITVIT_ERROR_LABELS,
  BITVIT_ERROR_PREPROCESSING,
  BITVIT_ERROR_UNKNOWN_ISA,
  BITVIT_ERROR_UNAVAILABLE_ISA,
  BITVIT_ERROR_INPUT,
  BITVIT_ERROR_OUTPUT_VALUE,
  BITVIT_ERROR_OUT_OF_MEMORY
} bitvit_code;

typedef struct bitvit_error {
  bitvit_code code;
  char message[500]; /* one line: what is wrong, where, and what to do */
} bitvit_error;

/* "ChecksumError" for BITVIT_ERROR_CHECKSUM: the names that Python uses. */
BITVIT_API const char* bitvit_code_name(bitvit_code code);

/* "0.1.0" */
BITVIT_API const char* bitvit_version(void);

/* ---- Models ------------------------------------------------------------------------------------------------------ */

typedef struct bitvit_model bitvit_model;

/* All zero, or NULL instead of the whole: the defaults. */
typedef struct bitvit_options {
  size_t threads; /* threads that share an image or a batch; 0: one for each processor */
  const char*
      isa; /* instruction set, such as "portable"; NULL: that of BITVIT_ISA in the environment, or the fastest */
} bitvit_options;

/* Reads and checks a file, whose contents need not be trusted. Unless the code is BITVIT_OK, *model is NULL. */
BITVIT_API bitvit_code bitvit_load_file(const char* path, const bitvit_options* options, bitvit_model** model,
                                        bitvit_error* error);
/* The same for a file in memory, which may be freed afterwards. */
BITVIT_API bitvit_code bitvit_load_memory(const void* data, size_t size, const bitvit_options* options,
                                          bitvit_model** model, bitvit_error* error);
/* NULL is allowed. No call may be using the model. */
BITVIT_API void bitvit_free(bitvit_model* model);

typedef enum bitvit_task { BITVIT_CLASSIFICATION = 0, BITVIT_SEGMENTATION = 1 } bitvit_task;

BITVIT_API bitvit_task bitvit_model_task(const bitvit_model* model);
BITVIT_API size_t bitvit_class_count(const bitvit_model* model);
/* The name of a class; NULL if there is no such class. */
BITVIT_API const char* bitvit_label(const bitvit_model* model, size_t index);
/* Red, green and blue of a class, in which a segmentation is drawn: those of the file, or well separated ones. */
BITVIT_API void bitvit_color(const bitvit_model* model, size_t index, uint8_t rgb[3]);
/* What the network sees: bytes [height][width][channels]. */
BITVIT_API void bitvit_input_size(const bitvit_model* model, size_t* width, size_t* height, size_t* channels);
/* Of a segmentation: the cells that get a class each, an integer fraction of the input's size. */
BITVIT_API void bitvit_grid_size(const bitvit_model* model, size_t* width, size_t* height);
/* An entry of the file's metadata, such as "provenance" (JSON text); NULL if there is none. */
BITVIT_API const char* bitvit_metadata(const bitvit_model* model, const char* key);
BITVIT_API const char* bitvit_isa(const bitvit_model* model);
BITVIT_API size_t bitvit_threads(const bitvit_model* model);

/* ---- Photos ------------------------------------------------------------------------------------------------------ */

/* A decoded photo of any size, 8 bits a channel. Channels: 1 (grey), 3 (RGB) or 4 (RGB and opacity); they are converted
 * to those of the network. */
typedef struct bitvit_image {
  const uint8_t* pixels; /* [height][width][channels] */
  size_t width, height, channels;
  size_t row_bytes; /* from one row to the next; 0: rows follow each other without a gap */
  int orientation;  /* EXIF's number, 1 to 8; 0 is the same as 1, upright */
} bitvit_image;

typedef struct bitvit_ranked {
  size_t index;
  double probability; /* softmax of the logits */
} bitvit_ranked;

/* The n most probable classes, best first; as many as there are, if there are fewer: entries beyond them are left as
 * they are. */
BITVIT_API bitvit_code bitvit_predict(const bitvit_model* model, const bitvit_image* image, bitvit_ranked* ranked,
                                      size_t n, bitvit_error* error);
/* One float for each class. */
BITVIT_API bitvit_code bitvit_logits(const bitvit_model* model, const bitvit_image* image, float* logits,
                                     bitvit_error* error);
/* Of a segmentation: the class of each pixel of the upright photo, [height][width] (orientations 5 to 8 exchange the
 * two). */
BITVIT_API bitvit_code bitvit_label_map(const bitvit_model* model, const bitvit_image* image, uint8_t* label_map,
                                        bitvit_error* error);

/* ---- Prepared pixels --------------------------------------------------------------------------------------------- */

/* The bytes that the network sees of a photo (docs/format.md, Resizing). */
BITVIT_API bitvit_code bitvit_prepare(const bitvit_model* model, const bitvit_image* image, uint8_t* prepared,
                                      bitvit_error* error);
/* Logits of `batch` prepared images: float [batch][classes]. */
BITVIT_API bitvit_code bitvit_run_logits(const bitvit_model* model, const uint8_t* prepared, size_t batch,
                                         float* logits, bitvit_error* error);
/* Of a segmentation: class numbers int32 [batch][grid height][grid width]. */
BITVIT_API bitvit_code bitvit_run_classes(const bitvit_model* model, const uint8_t* prepared, size_t batch,
                                          int32_t* classes, bitvit_error* error);

#ifdef __cplusplus
}
#endif

#endif
